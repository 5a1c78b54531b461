"""PCK of a detector: DISCOBOX_DETECTOR is the path of its config from `configs/` on."""

_base_ = "../{{$DISCOBOX_DETECTOR:discobox/yolact_r50_dcn_voc}}.py"
model = dict(
    _delete_=True,
    type="CorrespondenceModel",
    detector=_base_.model,
    describer=dict(pipeline=_base_.test_dataloader.dataset.pipeline, features=("backbone", 2)),
    task=dict(
        type="KeypointTransfer",
        classes=_base_.test_dataloader.dataset.metainfo.classes,
        boxes="annotated",
    ),
    matcher=dict(name="icm"),
)
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="KeypointPairDataset"),
)
test_evaluator = dict(_delete_=True, type="PCKMetric", protocol="scot")
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
custom_hooks = []
