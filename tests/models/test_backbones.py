"""ResNets with deformable convolutions in some blocks, and EfficientNet-Lite."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS


def build(kind, **changes):
    torch.manual_seed(0)
    dcn = dict(type="DCNv2", deform_groups=1, fallback_on_stride=False)
    config = dict(type=kind, depth=50, base_channels=8, dcn=dcn,
                  stage_with_dcn=(False, True, True, True))  # fmt: skip
    return MODELS.build({**config, **changes})


def deformable(backbone):
    return {
        (stage, index)
        for stage in range(1, 5)
        for index, block in enumerate(getattr(backbone, f"layer{stage}"))
        if hasattr(block.conv2, "conv_offset")
    }


def test_interval_keeps_other_blocks_plain():
    assert deformable(build("DCNResNet", dcn_interval=3)) == {
        (2, 0), (2, 3), (3, 0), (3, 3), (4, 0),
    }  # fmt: skip


def test_an_interval_of_one_is_the_stock_backbone():
    ours, stock = build("DCNResNet"), build("ResNet")
    assert ours.state_dict().keys() == stock.state_dict().keys()
    ours.load_state_dict(stock.state_dict())
    ours.train(False)
    stock.train(False)
    images = torch.randn(1, 3, 64, 64)
    for mine, theirs in zip(ours(images), stock(images), strict=True):
        assert torch.equal(mine, theirs)


def test_keys_are_those_of_the_stock_backbone():
    stock = build("ResNet", dcn=None, stage_with_dcn=(False,) * 4).state_dict().keys()
    ours = build("DCNResNet", dcn_interval=3).state_dict().keys()
    assert stock <= ours
    assert all(".conv_offset." in key for key in ours - stock)


def test_rejects_an_interval_below_one():
    with pytest.raises(ValueError, match="Expected `dcn_interval` to be at least 1 but got 0"):
        build("DCNResNet", dcn_interval=0)


@pytest.mark.parametrize("wrong", [(3, 1), (1, 1), (2, 4), (-1,)])
def test_levels_of_efficientnet_lite_out_of_order_are_an_error(wrong):
    with pytest.raises(ValueError, match="Expected `out_indices` to be .* in increasing order"):
        MODELS.build(dict(type="EfficientNetLite", pretrained=False, out_indices=wrong))


def test_chosen_levels_of_efficientnet_lite_are_those_of_all():
    torch.manual_seed(0)
    every = MODELS.build(dict(type="EfficientNetLite", pretrained=False)).eval()
    chosen = MODELS.build(dict(type="EfficientNetLite", pretrained=False, out_indices=(1, 2, 3)))
    chosen.load_state_dict(every.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = every(images), chosen.eval()(images)
    assert [level.shape[1] for level in expected] == list(every.out_channels)
    assert len(found) == 3
    for ours, theirs in zip(found, expected[1:], strict=True):
        assert torch.equal(ours, theirs)
