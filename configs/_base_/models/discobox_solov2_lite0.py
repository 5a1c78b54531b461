"""The SOLOv2 of `solov2_lite0.py`, trained from boxes."""

_base_ = ["./solov2_lite0.py", "./discobox.py"]
custom_hooks = _base_.discobox_hooks
model = dict(
    mask_head=dict(type="DiscoBoxSOLOv2Head"),
    **_base_.discobox_solov2,
)
