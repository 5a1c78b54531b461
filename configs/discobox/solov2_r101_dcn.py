"""DiscoBox SOLOv2, ResNet-101-DCN, COCO from boxes. Paper: 35.8 AP on test-dev."""

_base_ = "./solov2_r50.py"
model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(checkpoint="torchvision://resnet101"),
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    mask_head=dict(
        mask_feature_head=dict(conv_cfg=dict(type="DCNv2")),
        dcn_cfg=dict(type="DCNv2"),
        dcn_apply_to_all_conv=True,
    ),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.multi_scale_pipeline))
