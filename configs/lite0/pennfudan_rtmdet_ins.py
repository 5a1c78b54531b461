"""136 images of pedestrians from boxes, 204 steps: to compare starts (`load_from`)."""

_base_ = [
    "../_base_/models/discobox_rtmdet_ins_lite0.py",
    "../_base_/datasets/pennfudan.py",
    "../_base_/schedules/lite0.py",
]
train_cfg = dict(max_epochs=12, val_interval=12)
