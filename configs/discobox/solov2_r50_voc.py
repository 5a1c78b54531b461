"""DiscoBox SOLOv2, ResNet-50, VOC12 train_aug from boxes. Paper: AP50 59.8, AP75 35.5 on val."""

_base_ = ["../_base_/models/discobox_solov2_r50.py", "../_base_/datasets/voc12.py"]
model = dict(mask_head=dict(num_classes=20))
train_dataloader = dict(dataset=_base_.voc12_train)
val_dataloader = dict(dataset=_base_.voc12_val)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.voc12_evaluator)
test_evaluator = val_evaluator

# The paper gives no schedule for SOLOv2 on VOC12; this is the released one.
train_cfg = dict(max_epochs=72)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", begin=0, end=72, by_epoch=True, milestones=[54, 66], gamma=0.1),
]
