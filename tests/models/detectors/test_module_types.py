"""Sub-modules of another class are an error when the model is built."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from tiny import batch, build, tiny_condinst, tiny_rtmdet_ins, tiny_solov2, tiny_yolact

from mmdet_discobox.models.losses import BoxMILLoss
from mmdet_discobox.models.networks import DiscoBoxSOLOv2Head

DICE = dict(type="DiceLoss", use_sigmoid=True, loss_weight=3.0)


@pytest.mark.parametrize(
    ("tiny", "place", "change", "expected"),
    [
        (
            tiny_solov2,
            None,
            dict(loss_mil=DICE),
            "`loss_mil` to be a BoxMILLoss but got DiceLoss. Set .*_delete_=True",
        ),
        (
            tiny_solov2,
            "mask_head",
            dict(type="SOLOV2Head"),
            "`mask_head` to be a DiscoBoxSOLOv2Head but got SOLOV2Head",
        ),
        (
            tiny_condinst,
            "bbox_head",
            dict(type="CondInstBboxHead"),
            "`bbox_head` to be a DiscoBoxCondInstBboxHead but got CondInstBboxHead",
        ),
        (
            tiny_rtmdet_ins,
            "bbox_head",
            dict(type="RTMDetInsSepBNHead"),
            "`bbox_head` to be a DiscoBoxRTMDetInsSepBNHead but got RTMDetInsSepBNHead",
        ),
        (
            tiny_yolact,
            "mask_head",
            dict(type="YOLACTProtonet"),
            "`mask_head` to be a DiscoBoxYOLACTProtonet but got YOLACTProtonet",
        ),
        (
            tiny_yolact,
            "bbox_head",
            dict(type="YOLACTHead"),
            "`bbox_head` to be a DiscoBoxYOLACTHead but got YOLACTHead",
        ),
    ],
)
def test_a_module_of_another_class_is_an_error(tiny, place, change, expected):
    config = tiny()
    config.get("mask_head", {}).pop("rescoring", None)  # which a stock head does not know
    (config[place] if place else config).update(change)
    with pytest.raises(TypeError, match=f"Expected {expected}"):
        MODELS.build(config)


def test_subclasses_are_accepted():
    class Head(DiscoBoxSOLOv2Head):
        pass

    class Loss(BoxMILLoss):
        pass

    config = tiny_solov2()
    config.mask_head.type, config.loss_mil = Head, dict(type=Loss)
    assert isinstance(build(config), torch.nn.Module)


def test_the_mil_loss_of_a_head_alone_is_an_error_in_a_detector_with_its_own():
    config = tiny_solov2()
    config.mask_head.loss_mask = dict(type="BoxMILLoss", loss_weight=7.0)
    with pytest.raises(ValueError, match="Move it to `loss_mil` of the detector"):
        MODELS.build(config)


def test_mask_kernels_larger_than_a_cell_are_an_error():
    config = tiny_solov2()
    config.mask_head.dynamic_conv_size = 3
    with pytest.raises(ValueError, match="Expected `dynamic_conv_size` to be 1 but got 3"):
        MODELS.build(config)


def test_a_head_alone_needs_a_mil_loss():
    config = tiny_solov2(box_supervised=False)
    config.mask_head.type = "DiscoBoxSOLOv2Head"
    data = batch()
    detector = build(config)
    with pytest.raises(TypeError, match="Expected `mask_head.loss_mask` to be a BoxMILLoss"):
        detector(**detector.data_preprocessor(data, True), mode="loss")
