"""YOLACT++ for two CPU cores: EfficientNet-Lite0, narrow heads, 320 pixels."""

# cells along each side of a 320 x 320 image; the preprocessor pads every image to that
lite0_cells = [40, 20, 10, 5, 3]
# this backbone's outputs are not of unit size: without a norm the first losses are above 100
lite0_yolact_norm = dict(type="GN", num_groups=32, requires_grad=True)
model = dict(
    type="YOLACT",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=320,
    ),
    backbone=dict(type="EfficientNetLite"),
    neck=dict(
        type="FPN",
        in_channels=[24, 40, 112, 320],
        out_channels=96,
        start_level=1,
        add_extra_convs="on_input",
        num_outs=5,
        norm_cfg=lite0_yolact_norm,
        upsample_cfg=dict(mode="bilinear"),
    ),
    bbox_head=dict(
        type="YOLACTHead",
        num_classes=1,
        in_channels=96,
        feat_channels=96,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=1,
            scales_per_octave=3,
            base_sizes=[14, 28, 56, 112, 224],
            ratios=[0.5, 1.0, 2.0],
            strides=[320.0 / x for x in lite0_cells],
            centers=[(160.0 / x, 160.0 / x) for x in lite0_cells],
        ),
        bbox_coder=dict(
            type="DeltaXYWHBBoxCoder",
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
        norm_cfg=lite0_yolact_norm,
        num_protos=32,
    ),
    mask_head=dict(
        type="RescoringProtonet",
        num_classes=1,
        in_channels=96,
        proto_channels=(96, 96, 96, None, 64, 32),
        num_protos=32,
        loss_mask_weight=6.125,
        rescoring=dict(type="MaskRescoring"),
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.0,
            ignore_iof_thr=-1,
            gt_max_assign_all=False,
        ),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
    ),
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.05,
        mask_thr=0.5,
        iou_thr=0.5,
        top_k=200,
        max_per_img=100,
        mask_thr_binary=0.5,
    ),
)
