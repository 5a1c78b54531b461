"""DiscoBox YOLACT++, ResNet-50-DCN, VOC12 train_aug. Paper: AP50 63.6, AP75 34.1 on val."""

_base_ = ["../_base_/models/discobox_yolact_r50_dcn.py", "../_base_/datasets/voc12.py"]
model = dict(bbox_head=dict(num_classes=20), mask_head=dict(num_classes=20))
train_dataloader = dict(dataset=_base_.voc12_train)
val_dataloader = dict(dataset=_base_.voc12_val)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.voc12_evaluator)
test_evaluator = val_evaluator

# Appendix C.2, which does not say where the training ends.
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=120000, val_interval=10000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, milestones=[60000, 100000], gamma=0.1),
]
