"""DiscoBox YOLACT++, ResNet-50-DCN, COCO from boxes. Paper: 26.9 AP on val2017."""

_base_ = "../_base_/models/discobox_yolact_r50_dcn.py"

# Appendix C.2, which does not say where the training ends.
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=400000, val_interval=20000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, milestones=[280000, 360000], gamma=0.1),
]
