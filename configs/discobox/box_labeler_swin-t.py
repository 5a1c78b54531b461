"""The box labeller with Swin-T, from the 850,000 boxes of COCO. Not trained yet."""

_base_ = ["./box_labeler_r50.py", "../_base_/models/swin-t.py"]
model = dict(
    backbone=dict(_delete_=True, **_base_.swin_t), neck=dict(in_channels=_base_.swin_t_channels)
)
optim_wrapper = dict(_delete_=True, **_base_.swin_t_optim_wrapper)
