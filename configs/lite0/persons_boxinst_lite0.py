"""Persons with mmdet's BoxInst: the same backbone, widths, boxes and budget. Needs scikit-image."""

_base_ = [
    "../_base_/models/boxinst_lite0.py",
    "../_base_/datasets/persons.py",
    "../_base_/schedules/lite0.py",
]
custom_hooks = [dict(type="NumClassCheckHook")]
