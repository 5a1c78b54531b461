"""Persons from boxes with CondInst: the network of `persons_boxinst_lite0.py`."""

_base_ = [
    "../_base_/models/discobox_condinst_lite0.py",
    "../_base_/datasets/persons.py",
    "../_base_/schedules/lite0.py",
    "../_base_/tta.py",
]
