"""DiscoBox SOLOv2, ResNet-101, VOC12 train_aug from boxes. Paper: AP50 62.2, AP75 37.5 on val."""

_base_ = ["./solov2_r50_voc.py"]
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101")))
