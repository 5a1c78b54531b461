"""`solov2_r50.py` with the true masks that some objects have (docs/mixed.md)."""

_base_ = "./solov2_r50.py"
model = dict(true_masks=True)
mixed_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="LoadTrueMasks"),  # before any geometric transform
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(
    dataset=dict(
        ann_file="annotations/instances_train2017_mixed.json",  # boxes, and masks of some
        use_masks=True,
        pipeline=mixed_train_pipeline,
    )
)
