"""`solov2_r50.py` with large-scale jittering: objects of 0.1 to 2 times their size, cropped."""

_base_ = ["./solov2_r50.py"]
lsj_size = (1024, 1024)
lsj_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, box_type="crop_aware"),
    dict(type="RandomResize", scale=lsj_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type="RandomCrop",
        crop_type="absolute_range",
        crop_size=lsj_size,
        allow_negative_crop=True,
    ),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(4.0, 4.0), keep_empty=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
    dict(type="PackCutSides"),
]
train_dataloader = dict(dataset=dict(pipeline=lsj_train_pipeline))
