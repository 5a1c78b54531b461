"""`persons_solov2_lite0_mixed.py`; images with masks appear more often, the fewer there are."""

_base_ = "./persons_solov2_lite0_mixed.py"
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MaskBalancedDataset",
        oversample_thr=0.5,
        dataset=_base_.train_dataloader.dataset,
    )
)
