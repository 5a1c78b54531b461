"""`persons_solov2_lite0_mixed.py`; images with masks appear more often, the fewer there are."""

_base_ = [
    "../_base_/models/discobox_solov2_lite0.py",
    "../_base_/datasets/persons_mixed.py",
    "../_base_/schedules/lite0.py",
]
model = dict(true_masks=True)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MaskBalancedDataset",
        oversample_thr=0.5,
        dataset=_base_.train_dataloader.dataset,
    )
)
