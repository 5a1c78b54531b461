"""Persons from boxes and some true masks (docs/mixed.md) on two CPU cores."""

_base_ = [
    "../_base_/models/discobox_solov2_lite0.py",
    "../_base_/datasets/persons_mixed.py",
    "../_base_/schedules/lite0.py",
]
model = dict(true_masks=True)
