"""Animals from boxes on two CPU cores: several classes, no masks to train on."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/animals.py"]
model = dict(mask_head=dict(num_classes=5))
train_dataloader = dict(dataset=_base_.animals_train)
val_dataloader = dict(dataset=_base_.animals_val)
test_dataloader = val_dataloader
val_evaluator = _base_.animals_evaluator
test_evaluator = val_evaluator
