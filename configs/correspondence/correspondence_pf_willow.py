"""PCK on PF-WILLOW of the detector that DISCOBOX_DETECTOR names."""

_base_ = "../_base_/correspondence.py"
pf_willow_root = "data/PF-WILLOW/"
test_dataloader = dict(
    dataset=dict(
        reader="pf_willow", pairs_csv=pf_willow_root + "test_pairs.csv", root=pf_willow_root
    )
)
test_evaluator = dict(length="keypoints")
