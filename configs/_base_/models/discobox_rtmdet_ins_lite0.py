"""The RTMDet-Ins of `rtmdet_ins_lite0.py`, trained from boxes."""

_base_ = ["./rtmdet_ins_lite0.py", "./discobox.py"]
custom_hooks = _base_.discobox_hooks
model = _base_.discobox_rtmdet_ins
