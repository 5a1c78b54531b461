"""YOLACT++ itself, from masks: the upper bound of `yolact_r50_dcn.py`. Original: 34.1 AP."""

_base_ = "mmdet::yolact/yolact_r50_1xb8-55e_coco.py"
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3),
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
)
model = dict(
    backbone=dict(
        type="DCNResNet",
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    bbox_head=dict(anchor_generator=dict(scales_per_octave=3)),
    mask_head=dict(type="RescoringProtonet", rescoring=dict(type="MaskRescoring")),
)
