"""The box labeller with ResNet-50, from the 850,000 boxes of COCO. Not trained yet."""

_base_ = [
    "mmdet::_base_/default_runtime.py",
    "../_base_/models/box_labeler_lite0.py",
    "../_base_/datasets/box_crops.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
default_hooks = dict(
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=50,
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=128),
    mask_head=dict(in_channels=128, feat_channels=128),
)
coco = dict(data_root="data/coco/")
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(
        dataset=dict(
            ann_file="annotations/instances_train2017.json",
            data_prefix=dict(img="train2017/"),
            **coco,
        )
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(
        dataset=dict(
            ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"), **coco
        )
    ),
)
test_dataloader = val_dataloader
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=6, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True, eta_min=1e-5),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
