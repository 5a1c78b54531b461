"""The optimiser of a network with a teacher is the stock one, without a line per frozen weight."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tiny import build, tiny_rtmdet_ins

ROOT = Path(__file__).parents[2]
REASON = "is skipped since its requires_grad=False"
OURS = "StudentOptimWrapperConstructor"


def optimiser(model, constructor):
    init_default_scope("mmdet")
    config = dict(
        constructor=constructor,
        optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.05),
        paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    )
    return build_optim_wrapper(model, config).optimizer


@pytest.fixture
def skipped(monkeypatch):
    """The logged weights that are not optimised."""
    lines = []
    log = "mmengine.optim.optimizer.default_constructor.print_log"
    monkeypatch.setattr(log, lambda text, **_: lines.append(text) if REASON in text else None)
    return lines


def test_the_optimiser_is_the_stock_one_and_names_no_weight_of_the_teacher(skipped):
    model = build(tiny_rtmdet_ins())
    own = optimiser(model, OURS)
    assert skipped == []
    stock = optimiser(model, "DefaultOptimWrapperConstructor")
    assert {text.split(".")[0] for text in skipped} == {"teacher"}
    assert len(skipped) >= len(list(model.teacher.parameters()))
    for one, other in zip(own.param_groups, stock.param_groups, strict=True):
        assert [id(weight) for weight in one.pop("params")] == [
            id(weight) for weight in other.pop("params")
        ]
        assert one == other


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*/*.py")), ids=lambda path: path.stem)
def test_configs_of_a_teacher_network_with_rules_for_weights_use_it(path):
    config = Config.fromfile(path, import_custom_modules=False)
    if "paramwise_cfg" in config.get("optim_wrapper", {}) and "teacher_network" in config.model:
        assert config.optim_wrapper.get("constructor") == OURS
