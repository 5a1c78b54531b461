"""DiscoBox YOLACT++, ResNet-50-DCN, VOC12 train_aug. Paper: AP50 63.6, AP75 34.1 on val."""

_base_ = ["./yolact_r50_dcn.py", "./_base_/voc12.py"]
model = dict(bbox_head=dict(num_classes=20), mask_head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(ann_file="train_aug_boxes.json", **_base_.voc12_dataset))
val_dataloader = dict(dataset=dict(ann_file="val.json", **_base_.voc12_dataset))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type="VOCInstanceMetric", ann_file=_base_.voc12_root + "val.json"
)
test_evaluator = val_evaluator

# Appendix C.2, which does not say where the training ends.
train_cfg = dict(max_iters=120000, val_interval=10000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, milestones=[60000, 100000], gamma=0.1),
]
