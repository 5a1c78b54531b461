"""The same photographs of persons with masks to train on."""

_base_ = "./persons.py"
train_dataloader = dict(
    dataset=dict(
        type="CocoDataset",
        ann_file="train_masks.json",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="Resize", scale=(320, 320), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    )
)
