"""The mask-supervised upper bound: stock RTMDet-Ins, the same network, data and budget."""

_base_ = [
    "../_base_/models/rtmdet_ins_lite0.py",
    "../_base_/datasets/persons_masks.py",
    "../_base_/schedules/lite0.py",
]
