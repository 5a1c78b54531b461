"""The record of refined masks checks what it is given."""

from __future__ import annotations

import pytest
import torch

from mmdet_discobox.structures import PseudoMasks


def record(count=2, **changes):
    fields = dict(
        masks=torch.zeros(count, 6, 6),
        inside=torch.zeros(count, 6, 6, dtype=torch.bool),
        regions=torch.zeros(count, 4),
        valid=torch.zeros(count, dtype=torch.bool),
        certainty=torch.zeros(count),
    )
    return PseudoMasks(**{**fields, **changes})


@pytest.mark.parametrize("count", [0, 1, 2])
def test_right_shapes_pass(count):
    assert record(count).masks.shape == (count, 6, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(masks=torch.zeros(2, 6, 5)), r"Expected `masks` of shape \(G, S, S\) with S = 6"),
        (dict(inside=torch.zeros(2, 5, 5)), r"Expected `inside` .* with S = 6"),
        (dict(regions=torch.zeros(2, 5)), r"Expected `regions` of shape \(G, 4\)"),
        (dict(valid=torch.zeros(3)), r"Expected `valid` of shape \(G\) with G = 2"),
        (dict(certainty=torch.zeros(3)), r"Expected `certainty` of shape \(G\) with G = 2"),
    ],
)
def test_wrong_shapes(changes, message):
    with pytest.raises(ValueError, match=message):
        record(**changes)
