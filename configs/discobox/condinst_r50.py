"""DiscoBox CondInst, ResNet-50, COCO from boxes: not in the paper. Schedule of mmdet's BoxInst."""

_base_ = [
    "mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
    "../_base_/models/discobox.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = _base_.discobox_hooks
# The object bank adds about 200 MB to each checkpoint of 80 classes.
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3),
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)
model = dict(bbox_head=dict(type="DiscoBoxCondInstBboxHead"), **_base_.discobox_condinst)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, side) for side in (640, 672, 704, 736, 768, 800)],
        keep_ratio=True,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
# Images without objects train as background, and images of any size; stock leaves these out.
train_dataloader = dict(
    dataset=dict(type="CocoBoxDataset", pipeline=train_pipeline, filter_cfg=None)
)
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
