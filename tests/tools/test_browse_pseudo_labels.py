"""`browse_pseudo_labels.py` with checkpoints of other detectors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import build, tiny_solov2
from tiny_matching import config_of

TOOL = Path(__file__).parents[2] / "tools" / "browse_pseudo_labels.py"


@pytest.fixture
def build_model():
    spec = importlib.util.spec_from_file_location("browse_pseudo_labels", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_model


def test_a_checkpoint_without_the_students_weights_is_refused(build_model, tmp_path):
    config = config_of(tiny_solov2())
    torch.save(dict(state_dict={"foo.weight": torch.zeros(1)}), tmp_path / "foo.pth")
    with pytest.raises(ValueError, match=r"foo\.pth' to be a checkpoint of .* keys are missing"):
        build_model(config, tmp_path / "foo.pth")


def test_student_teacher_and_bank_are_those_of_the_checkpoint(build_model, tmp_path):
    init_default_scope("mmdet")
    trained = build(tiny_solov2(), seed=3)
    trained.teacher.update_parameters(trained)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / "a.pth")
    model = build_model(config_of(tiny_solov2()), tmp_path / "a.pth")
    assert model.teacher.started
    for key, weight in model.state_dict().items():
        assert torch.equal(weight.cpu(), trained.state_dict()[key]), key
