"""DiscoBox SOLOv2, ResNet-101-DCN, COCO from boxes. Paper: 35.8 AP on test-dev."""

_base_ = ["./solov2_r50.py", "./_base_/solov2_dcn.py"]
model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(checkpoint="torchvision://resnet101"),
        **_base_.dcn_backbone,
    ),
    mask_head=_base_.dcn_mask_head,
)
train_dataloader = dict(dataset=dict(pipeline=_base_.multi_scale_pipeline))
