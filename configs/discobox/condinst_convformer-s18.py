"""DiscoBox CondInst, ConvFormer-S18, COCO from boxes. Not in the paper, not trained."""

_base_ = ["./condinst_r50.py", "../_base_/models/convformer-s18.py"]
custom_imports = _base_.convformer_s18_imports
model = dict(
    backbone=dict(_delete_=True, **_base_.convformer_s18),
    neck=dict(in_channels=_base_.convformer_s18_channels),
)
optim_wrapper = dict(_delete_=True, **_base_.convformer_s18_optim_wrapper)
