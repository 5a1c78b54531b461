"""Multi-object AP on PASCAL 3D+ of the detector that DISCOBOX_DETECTOR names."""

_base_ = "../_base_/correspondence.py"
pascal3d_root = "data/PASCAL3D+_release1.1/"
model = dict(task=dict(type="MultiObjectMatching", boxes="detected"))
test_dataloader = dict(
    dataset=dict(
        type="ObjectPairDataset",
        pairs=pascal3d_root + "val_pairs.npz",  # of tools/make_multi_object_pairs.py
        image_root=pascal3d_root,
    )
)
test_evaluator = dict(_delete_=True, type="MultiObjectCorrespondenceMetric")
