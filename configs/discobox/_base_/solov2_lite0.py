"""SOLOv2 for two CPU cores: EfficientNet-Lite0, narrow towers, coarse grids."""

lite0_image_scale = (320, 320)
lite0_norm = dict(type="GN", num_groups=32, requires_grad=True)

model = dict(
    type="SOLOv2",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type="EfficientNetLite"),
    neck=dict(
        type="FPN", in_channels=[24, 40, 112, 320], out_channels=96, start_level=0, num_outs=5
    ),
    mask_head=dict(
        type="SOLOV2Head",
        num_classes=1,
        in_channels=96,
        feat_channels=96,
        stacked_convs=2,
        strides=[8, 8, 16, 32, 32],
        scale_ranges=((1, 40), (20, 80), (40, 160), (80, 320), (160, 2048)),
        pos_scale=0.2,
        num_grids=[20, 16, 12, 9, 6],
        norm_cfg=lite0_norm,
        mask_feature_head=dict(
            feat_channels=64,
            start_level=0,
            end_level=3,
            out_channels=96,
            mask_stride=4,
            norm_cfg=lite0_norm,
        ),
        loss_mask=dict(type="DiceLoss", use_sigmoid=True, loss_weight=3.0),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    ),
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.1,
        mask_thr=0.5,
        filter_thr=0.05,
        kernel="gaussian",
        sigma=2.0,
        max_per_img=100,
    ),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=35, norm_type=2),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=6, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True, eta_min=4e-6),
]
# The learning rate above is for 8 images a step; `--auto-scale-lr` scales it to others.
auto_scale_lr = dict(enable=False, base_batch_size=8)

lite0_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=lite0_image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
