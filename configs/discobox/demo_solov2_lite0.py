"""`make demo`: the generated scenes from boxes, minutes on two CPU cores."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/scenes.py"]
# Grids and ranges for objects of 40 to 85 % of a picture of 160 pixels.
model = dict(
    mask_head=dict(
        num_classes=6,
        num_grids=[12, 10, 8, 6, 5],
        scale_ranges=((1, 48), (36, 72), (56, 104), (84, 144), (116, 2048)),
    )
)
_base_.box_train_pipeline[2].scale = (160, 160)
_base_.lite0_test_pipeline[1].scale = (160, 160)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file="train_boxes.json", pipeline=_base_.box_train_pipeline, **_base_.scenes_dataset
    ),
)
val_dataloader = dict(
    dataset=dict(ann_file="val.json", pipeline=_base_.lite0_test_pipeline, **_base_.scenes_dataset)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.scenes_root + "val.json")
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(max_epochs=8, val_interval=8)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=8))
randomness = dict(seed=0)
