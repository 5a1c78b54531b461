"""Names of raw outputs: every tensor is found again in its place."""

from __future__ import annotations

import pytest
import torch
from tiny import TASK_NETWORKS, build

from mmdet_discobox.deployment.raw_outputs import flatten_outputs, unflatten_outputs


def same(ours, others):
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, others)
        return
    assert getattr(ours, "_fields", None) == getattr(others, "_fields", None)
    for one, other in zip(ours, others, strict=True):
        same(one, other)


@pytest.mark.parametrize("network", TASK_NETWORKS.values(), ids=TASK_NETWORKS)
def test_the_outputs_of_every_network_are_built_again(network):
    model = build(network()).eval()
    with torch.no_grad():
        outputs = model.head_outputs(model.extract_feat(torch.randn(2, 3, 64, 96)))
    flat = flatten_outputs(outputs)
    assert len(flat) > 3 or isinstance(outputs, torch.Tensor)
    same(outputs, unflatten_outputs(flat))


def test_more_than_ten_levels_keep_their_order():
    levels = [torch.tensor(float(index)) for index in range(12)]
    assert unflatten_outputs(flatten_outputs([levels, levels[0]])) == [levels, levels[0]]


def test_other_outputs_are_refused():
    with pytest.raises(TypeError, match=r"but got dict at 'boxes\.1'"):
        flatten_outputs([torch.zeros(1), {}], "boxes")
