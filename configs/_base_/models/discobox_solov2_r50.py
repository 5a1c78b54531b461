"""mmdet's SOLOv2 with ResNet-50 on COCO, trained from boxes. A leaf adds the schedule."""

_base_ = [
    "mmdet::solov2/solov2_r50_fpn_1x_coco.py",
    "./discobox.py",
    "../datasets/box_pipelines.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = _base_.discobox_hooks
# The object bank adds about 200 MB to each checkpoint of 80 classes.
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
model = dict(
    mask_head=dict(type="DiscoBoxSOLOv2Head"),
    # test_cfg=dict(mask_thr=0.4) was released for COCO; VOC12 with ResNet-50 had stock's 0.5.
    **_base_.discobox_solov2,
)
train_dataloader = dict(dataset=dict(type="CocoBoxDataset", pipeline=_base_.box_train_pipeline))
