"""DiscoBox CondInst, ResNet-50, COCO from boxes: not in the paper. mmdet's BoxInst has 30.8 AP."""

_base_ = ["mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py", "./_base_/box_supervision.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = _base_.discobox_hooks
model = dict(
    type="DiscoBoxCondInst",
    bbox_head=dict(type="DiscoBoxCondInstBboxHead"),
    **_base_.discobox_model,
)
