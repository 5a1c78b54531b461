"""The benchmarks of correspondence, for the detector of any other config."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdet.registry import DATASETS, METRICS, MODELS, TASK_UTILS
from mmengine.config import Config

import mmdet_discobox  # noqa: F401 - registers the model and the tasks, as the configs do

FOLDER = Path(__file__).parents[2] / "configs"
BENCHMARKS = sorted(FOLDER.glob("correspondence/*.py"))
DEFAULT = "discobox/yolact_r50_dcn_voc"


@pytest.mark.parametrize("detector", [None, "lite0/persons_solov2_lite0", DEFAULT])
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_of_a_detector(path, detector, monkeypatch):
    monkeypatch.delenv("DISCOBOX_DETECTOR", raising=False)
    if detector:
        monkeypatch.setenv("DISCOBOX_DETECTOR", detector)
    config = Config.fromfile(path)
    base = Config.fromfile(FOLDER / f"{detector or DEFAULT}.py")
    assert config.model.type == "CorrespondenceModel"
    assert config.model.detector == base.model
    assert config.model.describer.pipeline == base.test_dataloader.dataset.pipeline
    assert config.model.task.classes == base.test_dataloader.dataset.metainfo.classes
    assert MODELS.get(config.model.type)
    assert TASK_UTILS.get(config.model.task.type)
    assert DATASETS.get(config.test_dataloader.dataset.type)
    METRICS.build(config.test_evaluator)
    assert config.custom_hooks == []
