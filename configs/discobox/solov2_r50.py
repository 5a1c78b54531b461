"""DiscoBox SOLOv2, ResNet-50, COCO from boxes. Paper: 31.4 AP on val2017, 32.0 on test-dev."""

_base_ = "../_base_/models/discobox_solov2_r50.py"

# Appendix C.2; the released code trains 36 epochs and drops the rate after 33 and 35.
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", begin=0, end=36, by_epoch=True, milestones=[26, 32], gamma=0.1),
]
