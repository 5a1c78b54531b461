"""DiscoBox SOLOv2, ResNet-50, COCO from boxes. Paper: 31.4 AP on val2017, 32.0 on test-dev."""

_base_ = ["mmdet::solov2/solov2_r50_fpn_1x_coco.py", "./_base_/box_supervision.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = _base_.discobox_hooks
model = dict(
    type="DiscoBoxSOLOv2",
    mask_head=dict(type="DiscoBoxSOLOv2Head"),
    # test_cfg=dict(mask_thr=0.4) was released for COCO; VOC12 with ResNet-50 had stock's 0.5.
    **_base_.discobox_model,
)
train_dataloader = dict(dataset=dict(type="CocoBoxDataset", pipeline=_base_.box_train_pipeline))

# Appendix C.2; the released code trains 36 epochs and drops the rate after 33 and 35.
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", begin=0, end=36, by_epoch=True, milestones=[26, 32], gamma=0.1),
]
