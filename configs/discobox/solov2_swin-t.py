"""DiscoBox SOLOv2, Swin-T, COCO from boxes: not in the paper, not trained yet."""

_base_ = ["./solov2_r50.py", "../_base_/models/swin-t.py"]
model = dict(
    backbone=dict(_delete_=True, **_base_.swin_t), neck=dict(in_channels=_base_.swin_t_channels)
)
optim_wrapper = dict(_delete_=True, **_base_.swin_t_optim_wrapper)
