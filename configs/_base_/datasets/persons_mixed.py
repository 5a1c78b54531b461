"""The same photographs of persons, with the masks that some have in the json."""

_base_ = "./persons.py"
train_dataloader = dict(
    dataset=dict(
        ann_file="train_mixed.json",  # boxes, and masks of some: docs/mixed.md
        use_masks=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="LoadTrueMasks"),
            dict(type="Resize", scale=(320, 320), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    )
)
