"""DiscoBox SOLOv2, ResNet-50, VOC12 train_aug from boxes. Paper: AP50 59.8, AP75 35.5 on val."""

_base_ = ["./solov2_r50.py", "./_base_/voc12.py"]
model = dict(mask_head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(ann_file="train_aug_boxes.json", **_base_.voc12_dataset))
val_dataloader = dict(dataset=dict(ann_file="val.json", **_base_.voc12_dataset))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type="VOCInstanceMetric", ann_file=_base_.voc12_root + "val.json"
)
test_evaluator = val_evaluator

# The paper gives no schedule for SOLOv2 on VOC12; this is the released one.
train_cfg = dict(max_epochs=72)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", begin=0, end=72, by_epoch=True, milestones=[54, 66], gamma=0.1),
]
