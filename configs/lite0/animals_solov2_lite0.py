"""Animals from boxes on two CPU cores: several classes, no masks to train on."""

_base_ = [
    "../_base_/models/discobox_solov2_lite0.py",
    "../_base_/datasets/animals.py",
    "../_base_/schedules/lite0.py",
]
model = dict(mask_head=dict(num_classes=5))
