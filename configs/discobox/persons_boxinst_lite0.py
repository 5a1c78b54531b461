"""Persons with mmdet's BoxInst: the same backbone, widths, boxes and budget. Needs scikit-image."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/boxinst_lite0.py"]
model = dict(_delete_=True, **_base_.boxinst_lite0_model)
custom_hooks = [dict(type="NumClassCheckHook")]
