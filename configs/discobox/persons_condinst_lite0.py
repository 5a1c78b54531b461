"""Persons from boxes with CondInst on two CPU cores: the network of `persons_boxinst_lite0.py`."""

_base_ = ["./persons_solov2_lite0.py", "./_base_/condinst_lite0.py"]
model = dict(
    {
        **_base_.condinst_lite0_model,
        **_base_.discobox_model,
        "bbox_head": dict(
            _base_.condinst_lite0_model.bbox_head, type="DiscoBoxCondInstBboxHead"
        ),
    },
    _delete_=True,
    type="DiscoBoxCondInst",
)
