"""Data loaders of the box labeller: crops of boxes, 192 pixels, 16 per step; without files."""

labeler_size = 192
labeler_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="CropBox", size=labeler_size, margin=(0.08, 0.4)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="BoxCropDataset",
        pipeline=labeler_train_pipeline,
        dataset=dict(type="CocoBoxDataset"),
    ),
)
labeler_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="CropBox", size=labeler_size, margin=(0.2, 0.2)),
    dict(type="PackDetInputs"),
]
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BoxCropDataset",
        pipeline=labeler_test_pipeline,
        dataset=dict(type="CocoDataset", test_mode=True),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="BoxMaskIoU")
test_evaluator = val_evaluator
