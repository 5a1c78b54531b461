"""What makes a YOLACT++ of YOLACT, as plain names for a leaf to use; each works without the others.

Nine anchors at a position are `anchor_generator=dict(scales_per_octave=3)`: the base has scales of
24, 48, 96, 192 and 384 pixels, three ratios, and one scale per octave.
"""

# Every block of C3-C5; ResNet-101 has `dcn_interval=3`.
yolact_dcn_backbone = dict(
    type="DCNResNet",
    dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)
yolact_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook", interval=50),
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]

# Appendix C.1 on boxes alone: crop at random, beyond the image too (where the colour is the mean),
# make the longer side 550 and keep the aspect ratio. The preprocessor pads to 550 x 550, with the
# mean. Cropped objects keep what is left of their boxes, which may be a little loose.
yolact_mean = [123.68, 116.78, 103.94]
yolact_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(4.0, 4.0)),
    dict(type="Expand", mean=yolact_mean, to_rgb=True, ratio_range=(1, 4)),
    dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type="Resize", scale=(550, 550), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="PhotoMetricDistortion",
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18,
    ),
    dict(type="PackDetInputs"),
]
yolact_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(550, 550), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
