from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import constants_like, without_autocast


@pytest.mark.parametrize(
    ("constants", "dtype"),
    [
        ([0.412453 / 0.950456, 1 / 3, -2], torch.float),
        ([0.1, 1e30], torch.bfloat16),
        ([2**32 - 1, 2**60 + 1, -1], torch.long),
    ],
)
def test_constants_equal_new_tensor(constants, dtype):
    like = torch.zeros(4, 5, dtype=dtype, requires_grad=dtype == torch.float)
    result = constants_like(constants, like)
    assert torch.equal(result, like.new_tensor(constants))
    assert result.dtype == dtype
    assert not result.requires_grad


def test_constants_are_on_the_device():
    assert constants_like([1.0, 2.0], torch.zeros(3, device="meta")).is_meta


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_without_autocast_keeps_float32_products(device):
    x = torch.ones(2, 2, device=device)
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast(x):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
