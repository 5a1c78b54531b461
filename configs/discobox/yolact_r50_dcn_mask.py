"""YOLACT++ itself, from masks: the upper bound of `yolact_r50_dcn.py`. Original: 34.1 AP."""

_base_ = ["mmdet::yolact/yolact_r50_1xb8-55e_coco.py", "./_base_/yolact_plus.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(
    backbone=_base_.yolact_dcn_backbone,
    bbox_head=dict(anchor_generator=dict(scales_per_octave=3)),
    mask_head=dict(type="RescoringProtonet", rescoring=dict(type="MaskRescoring")),
)
