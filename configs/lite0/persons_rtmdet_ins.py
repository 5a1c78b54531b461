"""Persons from boxes on two CPU cores; `persons_rtmdet_ins_mask.py` is the same with masks."""

_base_ = [
    "../_base_/models/discobox_rtmdet_ins_lite0.py",
    "../_base_/datasets/persons.py",
    "../_base_/schedules/lite0.py",
]
