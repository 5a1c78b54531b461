"""The mask-supervised upper bound: stock SOLOv2, the same network, data and budget."""

_base_ = [
    "./_base_/solov2_lite0.py",
    "./_base_/persons.py",
    "mmdet::_base_/default_runtime.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
default_hooks = dict(channels_last=dict(type="ChannelsLastHook"))  # half the time on a CPU
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        ann_file="train_masks.json",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="Resize", scale=_base_.lite0_image_scale, keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
        **_base_.persons_dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        ann_file="val.json",
        test_mode=True,
        pipeline=_base_.lite0_test_pipeline,
        **_base_.persons_dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="CocoMetric",
    ann_file=_base_.persons_root + "val.json",
    metric=["bbox", "segm"],
)
test_evaluator = val_evaluator
