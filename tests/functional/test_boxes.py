"""Boxes on grids against loops over cells."""

from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import (
    box_masks,
    box_projections,
    cover_centres,
    expand_boxes,
    masks_to_boxes,
)

SIZE = (9, 13)
ODD = torch.tensor(
    [
        [3.0, 2.0, 4.0, 3.0],  # one cell
        [3.1, 2.1, 3.3, 2.2],  # inside a cell, on neither side of its centre
        [-5.0, -4.0, 2.0, 3.0],  # past the border
        [11.0, 7.0, 30.0, 20.0],
        [-8.0, -8.0, -3.0, -2.0],  # outside altogether
        [20.0, 15.0, 25.0, 16.0],
        [0.0, 0.0, 13.0, 9.0],  # the whole grid
        [5.0, 5.0, 5.0, 5.0],  # no size
        [1.5, 2.5, 4.5, 6.5],  # from centre line to centre line
    ]
)


def random_boxes(count=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 16 - 3
    return torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * 8], 1)


def naive_cover(start, end, length):
    middle = min(max(math.floor((start + end) / 2), 0), length - 1)
    return [start <= cell + 0.5 < end or cell == middle for cell in range(length)]


@pytest.mark.parametrize("boxes", [ODD, random_boxes()], ids=["odd", "random"])
def test_projections_equal_a_loop(boxes):
    rows, cols = box_projections(boxes, SIZE)
    for (x1, y1, x2, y2), row, col in zip(boxes.tolist(), rows, cols, strict=True):
        assert row.tolist() == naive_cover(y1, y2, SIZE[0])
        assert col.tolist() == naive_cover(x1, x2, SIZE[1])


@pytest.mark.parametrize("boxes", [ODD, random_boxes()], ids=["odd", "random"])
def test_masks_equal_a_loop_and_are_never_empty(boxes):
    masks = box_masks(boxes, SIZE)
    for (x1, y1, x2, y2), mask in zip(boxes.tolist(), masks, strict=True):
        rows, cols = naive_cover(y1, y2, SIZE[0]), naive_cover(x1, x2, SIZE[1])
        assert mask.tolist() == [[row and col for col in cols] for row in rows]
    assert masks.flatten(1).any(1).all()


@pytest.mark.parametrize("boxes", [ODD, random_boxes()], ids=["odd", "random"])
def test_covered_centres_equal_a_loop(boxes):
    clipped = boxes.clamp_min(0).minimum(torch.tensor([SIZE[1], SIZE[0]]).repeat(2))
    expected = [
        any(x1 <= cell + 0.5 < x2 for cell in range(SIZE[1]))
        and any(y1 <= cell + 0.5 < y2 for cell in range(SIZE[0]))
        for x1, y1, x2, y2 in clipped.tolist()
    ]
    assert cover_centres(clipped).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_one_pixel_is_one_cell():
    mask = box_masks(torch.tensor([[3.0, 2.0, 4.0, 3.0]]), SIZE)
    assert mask.nonzero().tolist() == [[0, 2, 3]]


def test_boxes_beyond_the_border_equal_clipped_boxes():
    limits = torch.tensor([13.0, 9.0, 13.0, 9.0])
    past = ODD[[2, 3, 6]]
    assert torch.equal(box_masks(past, SIZE), box_masks(past.clamp_min(0).minimum(limits), SIZE))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64])
def test_any_dtype_of_boxes(dtype):
    boxes = ODD[[0, 2, 3, 6]]
    assert torch.equal(box_masks(boxes.to(dtype), SIZE), box_masks(boxes, SIZE))


def test_tight_boxes_equal_a_loop():
    masks = torch.rand(30, *SIZE, generator=torch.Generator().manual_seed(0)) > 0.97
    masks[3] = False
    for mask, box in zip(masks, masks_to_boxes(masks).tolist(), strict=True):
        cells = mask.nonzero().tolist()
        rows, cols = [r for r, _ in cells], [c for _, c in cells]
        tight = [min(cols), min(rows), max(cols) + 1, max(rows) + 1] if cells else [0] * 4
        assert box == tight


def test_tight_boxes_invert_box_masks():
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 5, (20, 2), generator=generator)
    boxes = torch.cat([corners, corners + torch.randint(1, 5, (20, 2), generator=generator)], 1)
    assert torch.equal(masks_to_boxes(box_masks(boxes, SIZE)), boxes.float())


def test_an_empty_mask_has_a_box_of_zeros():
    assert masks_to_boxes(torch.zeros(2, *SIZE, dtype=torch.bool)).tolist() == [[0.0] * 4] * 2


def test_expansion_equals_a_loop():
    boxes = random_boxes()
    for (x1, y1, x2, y2), grown in zip(boxes.tolist(), expand_boxes(boxes, 0.25), strict=True):
        w, h = x2 - x1, y2 - y1
        expected = [x1 - w / 4, y1 - h / 4, x2 + w / 4, y2 + h / 4]
        assert grown.tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(expand_boxes(boxes, 0), boxes)


def test_no_boxes():
    none = torch.zeros(0, 4)
    rows, cols = box_projections(none, SIZE)
    assert rows.shape == (0, 9)
    assert cols.shape == (0, 13)
    assert box_masks(none, SIZE).shape == (0, 9, 13)
    assert masks_to_boxes(torch.zeros(0, *SIZE, dtype=torch.bool)).shape == (0, 4)
    assert expand_boxes(none, 0.5).shape == (0, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: box_projections(wrong, SIZE),
        lambda wrong: box_masks(wrong, SIZE),
        lambda wrong: expand_boxes(wrong, 0.5),
    ],
)
def test_wrong_boxes(call):
    with pytest.raises(ValueError, match=r"Expected `boxes` of shape \(N, 4\)"):
        call(torch.zeros(3, 5))


def test_wrong_masks():
    with pytest.raises(ValueError, match=r"Expected `masks` of shape \(N, H, W\)"):
        masks_to_boxes(torch.zeros(9, 13, dtype=torch.bool))
