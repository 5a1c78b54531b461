"""Multi-object AP on PASCAL 3D+ of any config beside this one, which DISCOBOX_DETECTOR names."""

_base_ = "./{{$DISCOBOX_DETECTOR:yolact_r50_dcn_voc}}.py"
pascal3d_root = "data/PASCAL3D+_release1.1/"
model = dict(
    _delete_=True,
    type="CorrespondenceModel",
    detector=_base_.model,
    describer=dict(pipeline=_base_.test_dataloader.dataset.pipeline, features=("backbone", 2)),
    task=dict(
        type="MultiObjectMatching",
        classes=_base_.test_dataloader.dataset.metainfo.classes,
        boxes="detected",
    ),
    matcher=dict(name="icm"),
)
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ObjectPairDataset",
        pairs=pascal3d_root + "val_pairs.npz",  # of tools/make_multi_object_pairs.py
        image_root=pascal3d_root,
    ),
)
test_evaluator = dict(_delete_=True, type="MultiObjectCorrespondenceMetric")
custom_imports = dict(imports=["mmdet_discobox.apis"], allow_failed_imports=False)
custom_hooks = []
