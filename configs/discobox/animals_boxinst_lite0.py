"""Animals with mmdet's BoxInst: the same backbone, widths, boxes and budget. Needs scikit-image."""

_base_ = ["./animals_solov2_lite0.py", "./_base_/boxinst_lite0.py"]
_base_.boxinst_lite0_model.bbox_head.num_classes = 5
_base_.boxinst_lite0_model.mask_head.warmup_iters = 167  # of 1,500
model = dict(_delete_=True, **_base_.boxinst_lite0_model)
custom_hooks = [dict(type="NumClassCheckHook")]
