"""Settings are read from configs of the repository and of mmdet."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdet.datasets.transforms import Resize
from mmengine.config import Config

from dataset_checks import TrainingSettings

CONFIGS = Path(__file__).parents[3] / "configs"


LEAF = dict(type="CocoBoxDataset")


def read(name):
    return TrainingSettings.from_config(Config.fromfile(CONFIGS / name))


def test_the_defaults_are_those_of_the_paper_config():
    settings = read("discobox/solov2_r50.py")
    default = TrainingSettings()
    for field in ("image_scale", "mask_stride", "batch_size", "max_epochs", "warm_up"):
        assert getattr(settings, field) == getattr(default, field), field
    assert settings.num_classes == dict(mask_head=80)
    assert tuple(map(tuple, settings.scale_ranges)) == default.scale_ranges


def test_multi_scale_training_counts_by_its_smallest():
    assert read("discobox/solov2_r101_dcn.py").image_scale == (1333, 640)


def test_a_config_of_ones_own_data():
    settings = read("lite0/demo_solov2_lite0.py")
    assert settings.image_scale == (160, 160)
    assert settings.classes == ("fish", "airplane", "umbrella", "teapot", "windmill", "flower")
    assert settings.num_classes == dict(mask_head=6)
    assert settings.iterations(600) == 8 * 150


def test_the_heads_of_condinst():
    settings = read("lite0/persons_condinst_lite0.py")
    assert settings.num_classes == dict(bbox_head=1)
    assert settings.mask_stride == 4  # its mask features have 8
    assert settings.scale_ranges is None


def test_wrappers_and_schedulers_are_read():
    inner = dict(type="CocoBoxDataset", pipeline=[dict(type="Resize", scale=320)])
    config = dict(
        model=dict(mask_head=dict()),
        train_dataloader=dict(batch_size=4, dataset=dict(type="RepeatDataset", dataset=inner)),
        train_cfg=dict(max_iters=100),
        param_scheduler=[
            dict(type="LinearLR", by_epoch=False, end=7),
            dict(type="MultiStepLR", end=9),
        ],
    )
    settings = TrainingSettings.from_config(config)
    assert settings.image_scale == (320, 320)
    assert settings.scale_ranges is None
    assert settings.iterations(10) == 100
    assert settings.warm_up == 7
    alone = dict(config, param_scheduler=dict(type="LinearLR", by_epoch=False, end=5))
    assert TrainingSettings.from_config(alone).warm_up == 5


@pytest.mark.parametrize("kind", ["mmdet.Resize", "mmdet.datasets.transforms.Resize", Resize])
def test_the_scale_of_a_transform_with_its_module(kind):
    """Python-style configs have classes as types."""
    data = dict(type="CocoBoxDataset", pipeline=[dict(type=kind, scale=320)])
    config = dict(
        model=dict(mask_head=dict()),
        train_dataloader=dict(batch_size=4, dataset=data),
        train_cfg=dict(max_iters=100),
    )
    assert TrainingSettings.from_config(config).image_scale == (320, 320)


def test_a_config_without_training_is_refused():
    with pytest.raises(ValueError, match=r"with `train_dataloader`, but got the keys \['model'\]"):
        TrainingSettings.from_config(dict(model=dict()))


def test_the_head_of_rtmdet_ins():
    settings = read("discobox/rtmdet-ins_s.py")
    assert settings.num_classes == dict(bbox_head=80)
    assert settings.mask_stride == 4
    assert settings.image_scale == (640, 640)
    assert settings.batch_size == 32
    assert settings.warm_up == 1000


def test_each_head_has_a_number_of_classes():
    """YOLACT's box head and mask head both do, and a cascade has several of each."""
    assert read("discobox/yolact_r50.py").num_classes == dict(mask_head=80, bbox_head=80)
    heads = [dict(num_classes=2), dict(num_classes=3)]
    model = dict(roi_head=dict(bbox_head=heads, mask_head=dict(num_classes=2)))
    settings = TrainingSettings.from_config(dict(model=model, train_dataloader=dict(dataset=LEAF)))
    expected = {"mask_head": 2, "bbox_head[0]": 2, "bbox_head[1]": 3}
    assert settings.num_classes == expected
