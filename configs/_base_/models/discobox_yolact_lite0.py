"""The YOLACT++ of `yolact_lite0.py`, trained from boxes."""

_base_ = ["./yolact_lite0.py", "./discobox.py"]
custom_hooks = _base_.discobox_hooks
# The paper's alpha_mil of 10 and alpha_con of 2 (Sec. 4.2) are for 400,000 steps: in the few of
# these configs L_mil swells the masks before L_con takes hold. 6 is about YOLACT's own mask loss.
model = dict(
    _base_.discobox_yolact,
    bbox_head=dict(type="DiscoBoxYOLACTHead"),
    mask_head=dict(type="DiscoBoxYOLACTProtonet"),
    loss_mil=dict(type="BoxMILLoss", form="bce", loss_weight=2.0),
    loss_consistency=dict(_base_.discobox_loss_consistency, loss_weight=6.0),
)
