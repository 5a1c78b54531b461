"""DiscoBox YOLACT++, ResNet-50-DCN, COCO from boxes. Paper: 26.9 AP on val2017."""

_base_ = [
    "mmdet::yolact/yolact_r50_1xb8-55e_coco.py",
    "./_base_/box_supervision.py",
    "./_base_/yolact_plus.py",
]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
# Sec. 4.2: alpha_mil is 10 and alpha_con 2.
_base_.discobox_model.loss_consistency.loss_weight = 2.0
_base_.discobox_model.loss_mil = dict(type="BoxMILLoss", form="bce", loss_weight=10.0)
model = dict(
    type="DiscoBoxYOLACT",
    data_preprocessor=dict(pad_size_divisor=550),
    backbone=_base_.yolact_dcn_backbone,
    bbox_head=dict(type="DiscoBoxYOLACTHead", anchor_generator=dict(scales_per_octave=3)),
    mask_head=dict(
        type="DiscoBoxYOLACTProtonet",
        with_seg_branch=False,
        rescoring=dict(type="MaskRescoring"),
    ),
    **_base_.discobox_model,
)
custom_hooks = _base_.yolact_hooks
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(type="CocoBoxDataset", pipeline=_base_.yolact_train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=_base_.yolact_test_pipeline))
test_dataloader = val_dataloader

# Appendix C.2, which does not say where the training ends.
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=400000, val_interval=20000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=False, milestones=[280000, 360000], gamma=0.1),
]
# YOLACT is known to diverge at this rate: gradients are clipped, which the original does not do.
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=20000))
log_processor = dict(by_epoch=False)
