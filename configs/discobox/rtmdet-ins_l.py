"""DiscoBox RTMDet-Ins, large, COCO from boxes: not in the paper, not trained yet."""

_base_ = [
    "mmdet::rtmdet/rtmdet-ins_l_8xb32-300e_coco.py",
    "../_base_/models/discobox.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
default_hooks = dict(
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)
model = dict(bbox_head=dict(type="DiscoBoxRTMDetInsSepBNHead"), **_base_.discobox_rtmdet_ins)

# No transform cuts an object: the box of a cut object is not tight, as L_mil requires, and without
# masks mmdet's crops cannot recompute it. So mosaics of four whole images replace crops, and MixUp,
# which blends the colours that the teacher compares, is left out.
box_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="CachedMosaic",
        img_scale=(640, 640),
        center_ratio_range=(1.0, 1.0),
        pad_val=114.0,
        prob=0.5,
    ),
    dict(type="RandomResize", scale=(640, 640), ratio_range=(0.5, 1.0), keep_ratio=True),
    dict(type="YOLOXHSVRandomAug"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(640, 640), pad_val=dict(img=(114, 114, 114))),
    dict(type="PackDetInputs"),
]
box_train_pipeline_stage2 = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(640, 640), ratio_range=(0.5, 1.0), keep_ratio=True),
    dict(type="YOLOXHSVRandomAug"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(640, 640), pad_val=dict(img=(114, 114, 114))),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(type="CocoBoxDataset", pipeline=box_train_pipeline))

# Without mmdet's EMAHook: the teacher network is the average of the weights, and a second average
# would contain a copy of it and of the object bank.
custom_hooks = [
    *_base_.discobox_hooks,
    dict(type="PipelineSwitchHook", switch_epoch=280, switch_pipeline=box_train_pipeline_stage2),
]
optim_wrapper = dict(
    constructor="StudentOptimWrapperConstructor", clip_grad=dict(max_norm=35, norm_type=2)
)
auto_scale_lr = dict(base_batch_size=256)
