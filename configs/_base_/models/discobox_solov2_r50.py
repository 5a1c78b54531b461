"""mmdet's SOLOv2 with ResNet-50 on COCO, trained from boxes. A leaf adds the schedule."""

_base_ = ["mmdet::solov2/solov2_r50_fpn_1x_coco.py", "./discobox.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = _base_.discobox_hooks
# The object bank adds about 200 MB to each checkpoint of 80 classes.
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3),
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)
model = dict(
    mask_head=dict(type="DiscoBoxSOLOv2Head"),
    # mask_thr stays at mmdet's 0.5; the released COCO models use 0.4.
    **_base_.discobox_solov2,
)
box_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
# Appendix C: for the DCN backbones.
multi_scale_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="RandomChoiceResize",
        scales=[(1333, 800), (1333, 768), (1333, 736), (1333, 704), (1333, 672), (1333, 640)],
        keep_ratio=True,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
# Images without objects train as background, and images of any size; stock leaves these out.
train_dataloader = dict(
    dataset=dict(type="CocoBoxDataset", pipeline=box_train_pipeline, filter_cfg=None)
)
