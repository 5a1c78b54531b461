"""Animals from boxes with RTMDet-Ins, on two CPU cores."""

_base_ = [
    "../_base_/models/discobox_rtmdet_ins_lite0.py",
    "../_base_/datasets/animals.py",
    "../_base_/schedules/lite0.py",
]
model = dict(bbox_head=dict(num_classes=5))
