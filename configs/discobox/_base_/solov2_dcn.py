"""What the DCN backbones of the paper share, as plain names for a leaf to use."""

dcn_backbone = dict(
    dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)
dcn_mask_head = dict(
    mask_feature_head=dict(conv_cfg=dict(type="DCNv2")),
    dcn_cfg=dict(type="DCNv2"),
    dcn_apply_to_all_conv=True,
)
# Appendix C: multi-scale training for the DCN backbones.
multi_scale_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, 800), (1333, 768), (1333, 736), (1333, 704), (1333, 672), (1333, 640)],
        keep_ratio=True,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
