"""DiscoBox YOLACT++, ResNet-101-DCN with every third block deformable, COCO from boxes."""

_base_ = ["./yolact_r50_dcn.py"]
model = dict(
    backbone=dict(depth=101, dcn_interval=3, init_cfg=dict(checkpoint="torchvision://resnet101"))
)
