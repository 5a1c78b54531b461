"""DiscoBox SOLOv2, ResNet-50, COCO from boxes. Paper: 31.4 AP on val2017, 32.0 on test-dev."""

_base_ = "../_base_/models/discobox_solov2_r50.py"

# Schedule of Appendix C.2. The released code drops the rate after epochs 33 and 35 instead.
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", begin=0, end=36, by_epoch=True, milestones=[26, 32], gamma=0.1),
]
