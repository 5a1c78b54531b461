"""PCK on PF-PASCAL of the detector that DISCOBOX_DETECTOR names."""

_base_ = "../_base_/correspondence.py"
pf_pascal_root = "data/PF-PASCAL/"
test_dataloader = dict(
    dataset=dict(
        reader="pf_pascal",
        pairs_csv=pf_pascal_root + "test_pairs.csv",
        root=pf_pascal_root,
        annotations=True,
    )
)
