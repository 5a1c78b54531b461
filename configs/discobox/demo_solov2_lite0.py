"""`make demo`: the generated scenes from boxes, minutes on two CPU cores."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/scenes.py"]
model = dict(mask_head=dict(num_classes=6))
_base_.box_train_pipeline[2].scale = (224, 224)
_base_.lite0_test_pipeline[1].scale = (224, 224)
train_dataloader = dict(
    dataset=dict(
        ann_file="train_boxes.json", pipeline=_base_.box_train_pipeline, **_base_.scenes_dataset
    )
)
val_dataloader = dict(
    dataset=dict(ann_file="val.json", pipeline=_base_.lite0_test_pipeline, **_base_.scenes_dataset)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.scenes_root + "val.json")
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=8, val_interval=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=8))
