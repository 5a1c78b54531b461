"""Training in bfloat16 on a CPU: any model, weights in float32."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from mmdet.registry import MODELS, OPTIM_WRAPPERS
from mmdet.testing import demo_mm_inputs
from tiny import TASK_NETWORKS, tiny_solov2

stock_solov2 = partial(tiny_solov2, box_supervised=False)


@pytest.mark.parametrize("config", [stock_solov2, *TASK_NETWORKS.values()])
def test_forward_in_bfloat16_and_update_in_float32(config):
    model = MODELS.build(config()).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wrapper = OPTIM_WRAPPERS.build(dict(type="BFloat16OptimWrapper", optimizer=optimizer))
    shapes = [(3, 128, 128)] * 2  # below, maps of one cell meet a bug of torch
    batch = demo_mm_inputs(2, shapes, num_classes=3, with_mask=True)
    dtypes = []
    model.backbone.register_forward_hook(lambda *call: dtypes.append(call[-1][0].dtype))
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = model.train_step(batch, wrapper)
    assert dtypes[0] == torch.bfloat16
    assert all(torch.isfinite(value) for value in losses.values())
    after = dict(model.named_parameters())
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in after.values())
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert any(name.startswith("backbone") for name in moved)


def test_the_focal_loss_gets_float32():
    """mmcv's GPU operator has no bfloat16 kernel."""
    model = MODELS.build(tiny_solov2()).train()
    dtypes = []
    model.mask_head.loss_cls.register_forward_pre_hook(lambda _, args: dtypes.append(args[0].dtype))
    data = model.data_preprocessor(demo_mm_inputs(2, [(3, 128, 128)] * 2, num_classes=3), True)
    with torch.autocast("cpu", torch.bfloat16):
        model(**data, mode="loss")
    assert dtypes == [torch.float]


def test_gradients_are_accumulated_as_in_float32():
    model = torch.nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type="BFloat16OptimWrapper", optimizer=optimizer, accumulative_counts=2)
    )
    wrapper.initialize_count_status(model, 0, 2)
    start = model.weight.detach().clone()
    for _ in range(2):
        with wrapper.optim_context(model):
            output = model(torch.ones(1, 4))
        assert output.dtype == torch.bfloat16
        wrapper.update_params(output.sum())
    torch.testing.assert_close(model.weight.detach(), start - 1)
