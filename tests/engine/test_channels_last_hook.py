"""The hook changes the memory format, and no values."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import HOOKS, MODELS
from mmdet.testing import demo_mm_inputs
from tiny import TASK_NETWORKS, tiny_solov2


@pytest.mark.parametrize("config", TASK_NETWORKS.values())
def test_weights_change_their_layout_but_not_their_values(config):
    model = MODELS.build(config())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    HOOKS.build(dict(type="ChannelsLastHook")).before_run(SimpleNamespace(model=model))
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    kernels = [p for p in model.parameters() if p.dim() == 4]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


def test_losses_are_equal_up_to_rounding():
    plain = MODELS.build(tiny_solov2()).train()
    model = copy.deepcopy(plain)
    HOOKS.build(dict(type="ChannelsLastHook")).before_run(SimpleNamespace(model=model))
    batch = demo_mm_inputs(2, [(3, 64, 64), (3, 64, 64)], num_classes=3)
    expected, found = (m(**m.data_preprocessor(batch, True), mode="loss") for m in (plain, model))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_deformable_convolutions_are_refused():
    config = tiny_solov2()
    config.mask_head.update(dcn_cfg=dict(type="DCNv2"), dcn_apply_to_all_conv=True)
    model = MODELS.build(config)
    hook = HOOKS.build(dict(type="ChannelsLastHook"))
    with pytest.raises(ValueError, match="Expected a model without operators that need contiguous"):
        hook.before_run(SimpleNamespace(model=model))


@pytest.mark.parametrize("operator", ["RoIAlign", "RoIAlignRotated"])
def test_the_regions_of_two_stages_are_refused(operator):
    layer = dict(type=operator, output_size=7, sampling_ratio=0)
    extractor = MODELS.build(
        dict(
            type="SingleRoIExtractor",
            roi_layer=layer,
            out_channels=8,
            featmap_strides=[4],
        )
    )
    features = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0, 8.0, 8.0, 40.0, 40.0, 0.1][: 6 if "Rotated" in operator else 5]])
    pool = extractor.roi_layers[0]
    wrong = pool(features.to(memory_format=torch.channels_last), rois)
    assert not torch.allclose(wrong, pool(features, rois), atol=0.1)  # as mmcv 2.1 computes it
    hook = HOOKS.build(dict(type="ChannelsLastHook"))
    with pytest.raises(ValueError, match=r"RoIAlign.*first 'roi_layers\.0'"):
        hook.before_run(SimpleNamespace(model=extractor))
