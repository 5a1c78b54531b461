"""Persons from boxes on two CPU cores; `persons_solov2_lite0_mask.py` is the same with masks."""

_base_ = ["./persons_solov2_lite0_mask.py", "./_base_/box_supervision.py"]
custom_hooks = _base_.discobox_hooks
model = dict(
    type="DiscoBoxSOLOv2",
    mask_head=dict(type="DiscoBoxSOLOv2Head"),
    **_base_.discobox_model,
)
_base_.box_train_pipeline[2].scale = _base_.lite0_image_scale
train_dataloader = dict(
    dataset=dict(
        type="CocoBoxDataset", ann_file="train_boxes.json", pipeline=_base_.box_train_pipeline
    )
)
