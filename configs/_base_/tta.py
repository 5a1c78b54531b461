"""Views of `--tta` in mmdet's test script: each image and its mirror image, at 320 pixels."""

tta_model = dict(type="InstanceTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(320, 320), keep_ratio=True)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations", with_bbox=True, with_mask=True)],
            [
                dict(
                    type="PackDetInputs",
                    meta_keys=(
                        "img_id", "img_path", "ori_shape", "img_shape", "scale_factor",
                        "flip", "flip_direction",
                    ),
                )
            ],
        ],
    ),
]  # fmt: skip
