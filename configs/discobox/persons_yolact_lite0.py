"""Persons from boxes on two CPU cores; `persons_yolact_lite0_mask.py` is the same with masks."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/yolact_lite0.py"]
# Sec. 4.2: alpha_mil is 10 and alpha_con 2.
_base_.discobox_model.loss_consistency.loss_weight = 2.0
_base_.yolact_lite0_model.update(type="DiscoBoxYOLACT")
_base_.yolact_lite0_model.bbox_head.update(type="DiscoBoxYOLACTHead")
_base_.yolact_lite0_model.mask_head.update(
    type="DiscoBoxYOLACTProtonet",
    loss_mil=dict(type="BoxMILLoss", form="bce", loss_weight=10.0),
)
model = dict(_delete_=True, **_base_.yolact_lite0_model, **_base_.discobox_model)
