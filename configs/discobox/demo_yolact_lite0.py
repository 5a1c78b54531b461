"""The demo's generated scenes for YOLACT++ from boxes; `demo_solov2_lite0.py` is what it runs."""

_base_ = ["./demo_solov2_lite0.py", "./_base_/yolact_lite0.py"]
_base_.discobox_model.loss_consistency.loss_weight = 6.0  # as for persons
_base_.discobox_model.loss_mil = dict(type="BoxMILLoss", form="bce", loss_weight=2.0)
_base_.yolact_lite0_model.update(type="DiscoBoxYOLACT")
_base_.yolact_lite0_model.data_preprocessor.pad_size_divisor = 160
_base_.yolact_lite0_model.bbox_head.update(
    type="DiscoBoxYOLACTHead",
    num_classes=6,
    # Objects of 64 to 136 pixels on the maps of 10 and 5 cells: on those of 3 and 2 cells, group
    # normalisation leaves nothing of them to classify.
    anchor_generator=dict(
        type="AnchorGenerator",
        octave_base_scale=1,
        scales_per_octave=3,
        base_sizes=[24, 48, 96, 192, 384],
        ratios=[0.5, 1.0, 2.0],
        strides=[160.0 / x for x in (20, 10, 5, 3, 2)],
        centers=[(80.0 / x, 80.0 / x) for x in (20, 10, 5, 3, 2)],
    ),
)
_base_.yolact_lite0_model.mask_head.update(
    type="DiscoBoxYOLACTProtonet",
    num_classes=6,
)
model = dict(_delete_=True, **_base_.yolact_lite0_model, **_base_.discobox_model)
