"""The CondInst of `condinst_lite0.py`, trained from boxes."""

_base_ = ["./condinst_lite0.py", "./discobox.py"]
custom_hooks = _base_.discobox_hooks
model = dict(bbox_head=dict(type="DiscoBoxCondInstBboxHead"), **_base_.discobox_condinst)
