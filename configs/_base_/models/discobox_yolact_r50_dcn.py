"""mmdet's YOLACT on COCO as YOLACT++ with ResNet-50-DCN, trained from boxes.

A leaf adds the schedule. Nine anchors at a position are `scales_per_octave=3`: the stock network
has scales of 24, 48, 96, 192 and 384 pixels, three ratios, and one scale per octave.
"""

_base_ = ["mmdet::yolact/yolact_r50_1xb8-55e_coco.py", "./discobox.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook", interval=50),
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]
# The object bank adds about 200 MB to each checkpoint of 80 classes.
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=20000, max_keep_ckpts=3),
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)
log_processor = dict(by_epoch=False)
model = dict(
    data_preprocessor=dict(pad_size_divisor=550),
    # Every block of C3-C5; ResNet-101 has `dcn_interval=3`.
    backbone=dict(
        type="DCNResNet",
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    bbox_head=dict(type="DiscoBoxYOLACTHead", anchor_generator=dict(scales_per_octave=3)),
    mask_head=dict(
        type="DiscoBoxYOLACTProtonet",
        with_seg_branch=False,
        rescoring=dict(type="MaskRescoring"),
    ),
    **_base_.discobox_yolact,
)
# YOLACT is known to diverge at its rate: gradients are clipped, which the original does not do.
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))

# Appendix C.1 on boxes alone: crop at random, beyond the image too (where the colour is the mean),
# make the longer side 550 and keep the aspect ratio. The preprocessor pads to 550 x 550, with the
# mean. What a crop leaves of a box need not be tight: the losses learn which sides were cut.
yolact_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, box_type="crop_aware"),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(4.0, 4.0)),
    dict(type="Expand", mean=[123.68, 116.78, 103.94], to_rgb=True, ratio_range=(1, 4)),
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
    dict(type="PackCutSides"),
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
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(
        type="CocoBoxDataset",
        pipeline=yolact_train_pipeline,
        # It learns from three negatives per positive: images without objects teach nothing.
        filter_cfg=dict(filter_empty_gt=True, min_size=0),
    ),
)
val_dataloader = dict(dataset=dict(pipeline=yolact_test_pipeline))
test_dataloader = val_dataloader
