"""SOLOv2 for two CPU cores: EfficientNet-Lite0, narrow towers, coarse grids."""

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
