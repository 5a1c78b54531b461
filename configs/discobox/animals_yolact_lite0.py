"""Animals from boxes with YOLACT++ on two CPU cores."""

_base_ = ["./persons_yolact_lite0.py", "./_base_/animals.py"]
model = dict(bbox_head=dict(num_classes=5), mask_head=dict(num_classes=5))
train_dataloader = dict(dataset=_base_.animals_train)
val_dataloader = dict(dataset=_base_.animals_val)
test_dataloader = val_dataloader
val_evaluator = _base_.animals_evaluator
test_evaluator = val_evaluator
