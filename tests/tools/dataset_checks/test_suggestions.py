"""Suggested settings of a data set: scale ranges, and a long enough training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checked_data import GOOD, coco
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_checks import TrainingSettings
from dataset_checks.suggestions import scale_ranges, suggest
from mmdet_discobox.annotation_files.box_table import BoxTable
from starter_config import NETWORKS, plan_training


def test_scale_ranges_of_coco_are_those_of_solov2():
    sizes = np.full(100, 580.0)
    assert scale_ranges(sizes) == ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
    assert scale_ranges(np.zeros(0)) == scale_ranges(sizes)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1, 4000), min_size=1, max_size=30),
    st.integers(2, 6),
)
def test_suggested_ranges_hold_every_box(sizes, levels):
    ranges = scale_ranges(np.array(sizes), levels=levels)
    assert len(ranges) == levels
    for size in sizes:
        assert any(low <= size <= high for low, high in ranges)


def test_a_schedule_for_few_images():
    table = BoxTable(coco(GOOD))
    short = suggest(table, TrainingSettings(batch_size=1, max_epochs=12))
    assert short.iterations == 12
    assert "12 iterations on one device\n# That is short beside its warm-up of 2000" in str(short)
    written: dict = {}
    exec(str(short), {}, written)  # the text is meant to be copied into a config
    assert written["train_cfg"] == dict(max_epochs=300)
    assert written["param_scheduler"][0]["end"] == 30


@pytest.mark.parametrize("images", [1, 8, 9, 30, 1500])
@pytest.mark.parametrize("network", ["solov2", "yolact"])
def test_a_written_config_is_long_enough_for_the_check(images, network):
    content = coco(*[GOOD] * images)
    first = content["images"][0]
    content["images"] = [dict(first, id=i, width=640, height=480) for i in range(1, images + 1)]
    for number, annotation in enumerate(content["annotations"], 1):
        annotation["image_id"] = number
    plan = plan_training(BoxTable(content), NETWORKS[network])
    short = TrainingSettings(batch_size=plan.batch_size, max_epochs=1, warm_up=2000)
    written = replace(short, max_epochs=plan.epochs, warm_up=plan.warm_up)
    assert suggest(BoxTable(content), written).schedule is None
    suggested = suggest(BoxTable(content), short).schedule
    assert f"max_epochs={plan.epochs})" in suggested
    assert f"end={plan.warm_up})" in suggested


def test_the_schedule_counts_the_samples_of_an_epoch():
    """A repeated data set has more samples than images."""
    settings = TrainingSettings(batch_size=2, max_epochs=3, num_samples=100)
    assert "max_epochs=24)" in suggest(BoxTable(coco(GOOD)), settings).schedule  # 1,200 steps


def test_a_warm_up_that_is_too_long():
    table = BoxTable(coco(GOOD))
    slow = suggest(table, TrainingSettings(batch_size=1, max_epochs=1000, warm_up=251))
    assert "max_epochs=1000" in slow.schedule
    assert "end=100)" in slow.schedule


@pytest.mark.parametrize(
    "fits",
    [
        TrainingSettings(batch_size=1, max_epochs=1000, warm_up=250),
        TrainingSettings(max_epochs=None, max_iters=9000),
    ],
)
def test_a_schedule_that_fits(fits):
    found = suggest(BoxTable(coco(GOOD)), fits)
    assert found.schedule is None
    assert "warm-up" not in str(found)


@pytest.mark.parametrize("size", [24, 40, (16, 200)])
def test_suggested_settings_give_a_cell_to_at_least_as_many_boxes(size):
    """Many objects of one size compete for the cells of one level."""
    rng = np.random.default_rng(0)
    low, high = (size, size) if isinstance(size, int) else size
    sides = rng.uniform(low, high, (60, 1)) * np.ones(2)
    corners = rng.uniform(0, 1, (60, 2)) * ((640, 400) - sides)
    content = coco(*np.concatenate([corners, sides], 1).tolist())
    content["images"][0].update(width=640, height=400)
    found = suggest(BoxTable(content), TrainingSettings())
    assert found.cell_share >= found.present_cell_share > 0
    assert len(found.num_grids) == len(found.scale_ranges) == 5


def test_a_network_without_ranges_gets_none():
    found = suggest(BoxTable(coco(GOOD)), TrainingSettings(scale_ranges=None))
    assert "scale_ranges" not in str(found)
