"""DiscoBox SOLOv2, ResNeXt-101-DCN, COCO from boxes. Paper: 37.9 AP on test-dev."""

_base_ = ["./solov2_r101_dcn.py"]
model = dict(
    backbone=dict(
        type="ResNeXt",
        groups=64,
        base_width=4,
        init_cfg=dict(checkpoint="open-mmlab://resnext101_64x4d"),
    )
)
