from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import numbers_like


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([0.412453 / 0.950456, 1 / 3, -2], torch.float),
        ([0.1, 1e30], torch.bfloat16),
        ([2**32 - 1, 2**60 + 1, -1], torch.long),
    ],
)
def test_values_and_type_are_those_of_a_copy(numbers, dtype):
    like = torch.zeros(4, 5, dtype=dtype, requires_grad=dtype == torch.float)
    found = numbers_like(numbers, like)
    assert torch.equal(found, like.new_tensor(numbers))
    assert found.dtype == dtype
    assert not found.requires_grad


def test_they_lie_on_the_device():
    assert numbers_like([1.0, 2.0], torch.zeros(3, device="meta")).is_meta
