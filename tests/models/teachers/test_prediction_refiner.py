from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_discobox.models.teachers import PredictionRefiner, box_windows, paste_window

HEIGHT, WIDTH = 96, 128


def distance(x=64, y=48):
    rows, columns = torch.meshgrid(
        torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij"
    )
    return ((rows - y).square() + (columns - x).square()).sqrt()


def image_of(disc):
    """A noisy red disc on noisy green, RGB."""
    generator = torch.Generator().manual_seed(0)
    red, green = torch.tensor([200.0, 60, 50]), torch.tensor([70.0, 140, 60])
    colours = torch.where(disc, red[:, None, None], green[:, None, None])
    return (colours + 6 * torch.randn(3, HEIGHT, WIDTH, generator=generator)).clamp(0, 255)


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture
def disc():
    return distance() < 30


@pytest.mark.parametrize(
    "start",
    [
        distance() < 27,
        distance() < 34,
        distance(67, 50) < 30,
        F.interpolate(F.avg_pool2d((distance() < 30)[None].float(), 8)[None], scale_factor=8)[0, 0]
        > 0.3,
    ],
    ids=["small", "large", "moved", "coarse"],
)
def test_borders_move_to_the_edges_of_colour(disc, start):
    before = iou(start, disc)
    refined = PredictionRefiner()(image_of(disc), start[None], torch.ones(1))[0]
    assert refined.dtype == torch.bool
    assert iou(refined, disc) > max(0.95, before + 0.02)


def test_masks_and_image_may_differ_in_resolution(disc):
    start, image = (distance() < 33)[None], image_of(disc)
    same = PredictionRefiner()(image, start, torch.ones(1))
    large = start.repeat_interleave(3, 1).repeat_interleave(2, 2)
    refined = PredictionRefiner()(image, large, torch.ones(1))
    assert refined.shape == (1, 3 * HEIGHT, 2 * WIDTH)
    assert iou(F.max_pool2d(refined.float(), (3, 2)) > 0, same) > 0.95


def test_certainty_weighs_a_mask_unless_its_log_odds_are_normalised(disc):
    start = (distance(67, 50) < 27)[None]
    for teacher, same in ((None, False), (dict(refiner=dict(unary_rms=2.5)), True)):
        little, much = (
            PredictionRefiner(certainty=c, teacher=teacher)(image_of(disc), start, torch.ones(1))
            for c in (2.5, 50.0)
        )
        assert torch.equal(little, much) == same


def test_low_scores_and_empty_masks_stay_and_nothing_is_written_in_place(disc):
    masks = torch.stack([distance() < 27, distance() < 27, torch.zeros_like(disc)])
    given, scores = masks.clone(), torch.tensor([0.9, 0.1, 0.9])
    refined = PredictionRefiner(min_score=0.2)(image_of(disc), masks, scores)
    assert torch.equal(masks, given)
    assert torch.equal(refined[1:], masks[1:])
    assert not torch.equal(refined[0], masks[0])
    none = PredictionRefiner()(image_of(disc), masks[:0], scores[:0])
    assert none.shape == (0, HEIGHT, WIDTH)


def test_a_mask_does_not_depend_on_the_others(disc):
    radii = torch.arange(5, 45)
    masks = torch.stack([distance(x=40 + int(r)) < r for r in radii])
    together = PredictionRefiner()(image_of(disc), masks, torch.ones(len(masks)))
    for mask, ours in zip(masks[::7], together[::7], strict=True):
        alone = PredictionRefiner()(image_of(disc), mask[None], torch.ones(1))[0]
        assert torch.equal(alone, ours)


def test_a_mask_stays_near_its_own_box():
    """The whole image has the colour of the object, so only the box bounds the mask."""
    start = distance() < 20  # its box: 44 to 84, 28 to 68
    image = torch.full((3, HEIGHT, WIDTH), 90.0)
    refined = PredictionRefiner(grow=0.1)(image, start[None], torch.ones(1))[0]
    outside = torch.ones_like(start)
    outside[24:72, 40:88] = False
    assert not refined[outside].any()
    assert refined.any()


def test_a_mask_refined_to_another_object_is_unchanged(disc):
    """Two scattered dots have the box of the disc between them, which was not predicted."""
    dots = (distance(40, 24) < 4) | (distance(88, 72) < 4)
    image = image_of(disc)
    stays = PredictionRefiner()(image, dots[None], torch.ones(1))[0]
    assert torch.equal(stays, dots)
    replaced = PredictionRefiner(min_overlap=0.0)(image, dots[None], torch.ones(1))[0]
    assert iou(replaced, dots) < 0.5


def test_masks_at_the_border_and_of_a_pixel():
    image = image_of(distance(0, 0) < 40)
    pixel = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    pixel[-1, -1] = True
    masks = torch.stack([distance(0, 0) < 39, pixel, torch.ones_like(pixel)])
    refined = PredictionRefiner()(image, masks, torch.ones(3))
    assert iou(refined[0], distance(0, 0) < 40) > 0.95
    assert refined.flatten(1).any(1).all()


def test_settings_of_the_teacher_are_checked():
    with pytest.raises(ValueError, match="Expected `grow` to be at least 0 but got -0.1"):
        PredictionRefiner(grow=-0.1)
    with pytest.raises(ValueError, match="crop_size"):
        PredictionRefiner(teacher=dict(crop_size=30))


sides = st.floats(0, 20, allow_nan=False, width=32)


@settings(max_examples=200, deadline=None)
@given(x=sides, y=sides, width=sides, height=sides)
def test_windows_hold_the_centres_of_the_box(x, y, width, height):
    box = torch.tensor([x, y, min(x + width, 20), min(y + height, 20)])
    ((x1, y1, x2, y2),) = box_windows(box[None], (20, 20))
    assert 0 <= x1 < x2 <= 20
    assert 0 <= y1 < y2 <= 20
    for first, end, low, high in ((x1, x2, box[0], box[2]), (y1, y2, box[1], box[3])):
        held = [pixel for pixel in range(20) if low <= pixel + 0.5 < high]
        assert [*range(first, end)] == (held or [min(int((low + high) / 2), 19)])


def test_a_window_is_never_empty():
    region, window = torch.tensor([0.0, 0, 8, 8]), (2, 0, 8, 8)
    columns = torch.linspace(0, 0.3, 8).expand(8, 8)
    assert torch.equal(paste_window(columns, region, window), (columns >= 0.15)[:, 2:])
    assert paste_window(torch.zeros(8, 8), region, window).all()
    likely = paste_window(columns + 0.35, region, window)
    assert torch.equal(likely, (columns + 0.35 > 0.5)[:, 2:])
