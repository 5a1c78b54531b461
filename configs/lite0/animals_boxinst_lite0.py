"""Animals with mmdet's BoxInst: the same backbone, widths, boxes and budget. Needs scikit-image."""

_base_ = [
    "../_base_/models/boxinst_lite0.py",
    "../_base_/datasets/animals.py",
    "../_base_/schedules/lite0.py",
]
model = dict(
    bbox_head=dict(num_classes=5),
    mask_head=dict(warmup_iters=167),  # of 1,500
)
custom_hooks = [dict(type="NumClassCheckHook")]
