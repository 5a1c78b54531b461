"""The box labeller with ConvNeXt-T, from the 850,000 boxes of COCO. Not trained yet."""

_base_ = ["./box_labeler_r50.py", "../_base_/models/convnext-t.py"]
custom_imports = _base_.convnext_t_imports
model = dict(
    backbone=dict(_delete_=True, **_base_.convnext_t),
    neck=dict(in_channels=_base_.convnext_t_channels),
)
optim_wrapper = dict(_delete_=True, **_base_.convnext_t_optim_wrapper)
