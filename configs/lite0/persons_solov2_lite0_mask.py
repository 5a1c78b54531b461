"""The mask-supervised upper bound: stock SOLOv2, the same network, data and budget."""

_base_ = [
    "../_base_/models/solov2_lite0.py",
    "../_base_/datasets/persons_masks.py",
    "../_base_/schedules/lite0.py",
]
