"""Persons from boxes on two CPU cores; `persons_yolact_lite0_mask.py` is the same with masks."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/yolact_lite0.py"]
# The paper's alpha_mil of 10 and alpha_con of 2 (Sec. 4.2) are for 400,000 steps: in the few of
# this config L_mil swells the masks before L_con takes hold. 6 is about YOLACT's own mask loss.
_base_.discobox_model.loss_consistency.loss_weight = 6.0
_base_.discobox_model.loss_mil = dict(type="BoxMILLoss", form="bce", loss_weight=2.0)
_base_.yolact_lite0_model.update(type="DiscoBoxYOLACT")
_base_.yolact_lite0_model.bbox_head.update(type="DiscoBoxYOLACTHead")
_base_.yolact_lite0_model.mask_head.update(
    type="DiscoBoxYOLACTProtonet",
)
model = dict(_delete_=True, **_base_.yolact_lite0_model, **_base_.discobox_model)
