"""Settings that a data set suggests: scale ranges, and a long enough training."""

from __future__ import annotations

import numpy as np
from checked_data import GOOD, coco
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_discobox.datasets.checks import BoxTable, TrainingSettings, scale_ranges, suggest


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


def test_a_short_training_is_told(check):
    table = BoxTable(coco(GOOD))
    short = suggest(table, TrainingSettings(batch_size=1, max_epochs=12))
    assert (short.iterations, short.latest_opening, short.max_epochs) == (12, 3, 558)
    assert "max_epochs = 558" in str(short)
    by_loss = TrainingSettings(max_epochs=None, max_iters=9000, consistency=dict(mil_below=0.2))
    long = suggest(table, by_loss)
    assert (long.iterations, long.latest_opening, long.max_epochs) == (9000, None, None)
    assert "L_con starts as soon as the MIL loss is low" in str(long)
