"""The generated data set of the demo, which `make_scenes.py` writes: 160 pixels."""

_base_ = "./lite0.py"
scenes_root = "{{$DISCOBOX_SCENES:work_dirs/demo/data}}/"
scenes = dict(
    data_root=scenes_root,
    data_prefix=dict(img=""),
    metainfo=dict(
        classes=("fish", "airplane", "umbrella", "teapot", "windmill", "flower"),
        palette=[
            (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
            (213, 94, 0),
        ],
    ),
)  # fmt: skip

scenes_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(160, 160), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
scenes_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(160, 160), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(ann_file="train_boxes.json", pipeline=scenes_train_pipeline, **scenes),
)
val_dataloader = dict(dataset=dict(ann_file="val.json", pipeline=scenes_test_pipeline, **scenes))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=scenes_root + "val.json")
test_evaluator = val_evaluator
