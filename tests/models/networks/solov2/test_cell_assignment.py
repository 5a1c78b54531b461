"""The assignment of cells against SOLOv2's rule in loops, and against the stock head itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from tiny import tiny_solov2

from mmdet_discobox.functional import box_masks
from mmdet_discobox.models.networks.solov2 import assign_cells
from mmdet_discobox.structures import BoxObjects

CLASSES = 3
FRAME = (96, 160)
GRIDS = (10, 8, 6, 5, 4)
RANGES = ((1, 24), (12, 48), (24, 96), (48, 192), (96, 512))
OFFSETS = np.cumsum([0, *(grid**2 for grid in GRIDS)])


def assign(objects, *, pos_scale=0.2, frame=FRAME):
    return assign_cells(
        objects,
        frame=frame,
        num_grids=GRIDS,
        scale_ranges=RANGES,
        pos_scale=pos_scale,
        num_classes=CLASSES,
    )


def batch_of(boxes, labels, image_inds, num_images):
    return BoxObjects(
        boxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.as_tensor(labels, dtype=torch.long),
        image_inds=torch.as_tensor(image_inds, dtype=torch.long),
        image_sizes=torch.tensor([FRAME] * num_images, dtype=torch.float32),
        image_ids=torch.as_tensor(image_inds, dtype=torch.long),
    )


def random_objects(counts, seed=0):
    rng = np.random.default_rng(seed)
    total = sum(counts)
    sides = np.array([FRAME[1], FRAME[0]])
    corners = np.sort(rng.uniform(0, 1, (total, 2, 2)), axis=1) * sides
    return batch_of(
        corners.reshape(-1, 4),
        rng.integers(0, CLASSES, total),
        np.repeat(np.arange(len(counts)), counts),
        len(counts),
    )


def span(start, end, length, grid, pos_scale):
    """Cells of one axis: those the centre region touches, at most one away from the centre's."""
    centre, half, cell = (start + end) / 2, (end - start) / 2 * pos_scale, length / grid
    middle = math.floor(centre / cell)
    first = max(math.floor((centre - half) / cell), middle - 1, 0)
    last = min(math.floor((centre + half) / cell), middle + 1, grid - 1)
    return range(first, last + 1)


def naive_owners(objects, pos_scale):
    """``{(image, cell): object}``; a later object takes the cell of an earlier one."""
    owners = {}
    for index, (x1, y1, x2, y2) in enumerate(objects.boxes.tolist()):
        for grid, offset, (low, high) in zip(GRIDS, OFFSETS[:-1], RANGES, strict=True):
            if low <= math.sqrt((x2 - x1) * (y2 - y1)) <= high:
                for row in span(y1, y2, FRAME[0], grid, pos_scale):
                    for col in span(x1, x2, FRAME[1], grid, pos_scale):
                        cell = int(offset) + row * grid + col
                        owners[int(objects.image_inds[index]), cell] = index
    return owners


def owners_of(assignment, objects):
    images = objects.image_inds[assignment.object_inds].tolist()
    cells = zip(images, assignment.place_inds.tolist(), strict=True)
    owners = dict(zip(cells, assignment.object_inds.tolist(), strict=True))
    assert len(owners) == len(assignment.object_inds), "a cell was given twice"
    return owners


@pytest.mark.parametrize("pos_scale", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("counts", [(40, 40), (0, 25, 0, 5), (1,)])
def test_assignment_equals_a_loop(counts, pos_scale):
    objects = random_objects(counts)
    assignment = assign(objects, pos_scale=pos_scale)
    expected = naive_owners(objects, pos_scale)
    assert expected
    assert owners_of(assignment, objects) == expected
    labels = torch.full((len(counts), OFFSETS[-1]), CLASSES)
    for (image, cell), index in expected.items():
        labels[image, cell] = objects.labels[index]
    assert torch.equal(assignment.labels, labels)
    images = [image for image, _ in expected]
    assert assignment.image_counts == [images.count(image) for image in range(len(counts))]


def far_from_borders(box, pos_scale):
    """Whether half a pixel of the centre changes no cell.

    The stock head averages the indices of pixels: its centre lies half a pixel before the box's.
    """
    for start, end, length in ((box[0], box[2], FRAME[1]), (box[1], box[3], FRAME[0])):
        centre, half = (start + end) / 2, (end - start) / 2 * pos_scale
        for grid in GRIDS:
            cell = length / grid
            for edge in (centre - half, centre, centre + half):
                if math.floor(edge / cell + 1e-4) != math.floor((edge - 0.5) / cell - 1e-4):
                    return False
    return True


@pytest.mark.parametrize("pos_scale", [0.2, 0.6])
def test_assignment_equals_the_stock_head_on_filled_boxes(pos_scale):
    rng = np.random.default_rng(0)
    columns, rows = (np.sort(rng.integers(0, n, (4000, 2)) * 4, 1) for n in (41, 25))
    boxes = np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], 1)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)]
    boxes = np.array([box for box in boxes if far_from_borders(box, pos_scale)])[:40]
    assert len(boxes) == 40
    objects = batch_of(boxes, rng.integers(0, CLASSES, 40), np.zeros(40), 1)
    assignment = assign(objects, pos_scale=pos_scale)

    config = tiny_solov2(num_classes=CLASSES, box_supervised=False).mask_head
    head = MODELS.build({**config, "num_grids": list(GRIDS), "scale_ranges": RANGES})
    head.pos_scale = pos_scale
    filled = box_masks(objects.boxes, FRAME).numpy().astype(np.uint8)
    instances = InstanceData(
        bboxes=objects.boxes, labels=objects.labels, masks=BitmapMasks(filled, *FRAME)
    )
    targets, labels, _, indices = head._get_targets_single(
        instances, (FRAME[0] // 4, FRAME[1] // 4)
    )
    assert torch.equal(assignment.labels[0], torch.cat([level.flatten() for level in labels]))
    stock = {}  # cell -> mask, the last one where two objects claim the cell
    for offset, cells, masks in zip(OFFSETS[:-1], indices, targets, strict=True):
        stock.update(zip((int(offset) + cell for cell in cells), masks.bool(), strict=True))
    ours = box_masks(objects.boxes / 4, (FRAME[0] // 4, FRAME[1] // 4))[assignment.object_inds]
    assert set(assignment.place_inds.tolist()) == set(stock)
    for cell, mask in zip(assignment.place_inds.tolist(), ours, strict=True):
        assert torch.equal(mask, stock[cell])
    assert sum(map(len, indices)) > len(stock), "no cell was claimed twice"


def test_the_later_of_two_objects_gets_label_and_mask_of_a_cell():
    box = [40.0, 20.0, 80.0, 70.0]
    objects = batch_of([box, box], [0, 2], [0, 0], 1)
    assignment = assign(objects)
    assert assignment.object_inds.unique().tolist() == [1]
    assert assignment.labels.unique().tolist() == [2, CLASSES]
    alone = assign(batch_of([box], [2], [0], 1))
    assert torch.equal(assignment.place_inds, alone.place_inds)
    apart = assign(batch_of([box, box], [0, 2], [0, 1], 2))
    assert apart.object_inds.unique().tolist() == [0, 1]


def test_images_are_independent():
    objects = random_objects((6, 0, 7))
    together = assign(objects)
    start = 0
    for image in range(3):
        chosen = objects.image_inds == image
        alone = assign(
            batch_of(objects.boxes[chosen], objects.labels[chosen], [0] * chosen.sum(), 1)
        )
        assert torch.equal(together.labels[image], alone.labels[0])
        count = together.image_counts[image]
        assert alone.image_counts == [count]
        cells = together.place_inds[start : start + count]
        assert torch.equal(cells, alone.place_inds)
        start += count


@pytest.mark.parametrize("num_images", [1, 3])
def test_no_objects(num_images):
    assignment = assign(batch_of([], [], [], num_images))
    assert assignment.labels.shape == (num_images, OFFSETS[-1])
    assert (assignment.labels == CLASSES).all()
    assert assignment.object_inds.shape == assignment.place_inds.shape == (0,)
    assert assignment.image_counts == [0] * num_images


def test_objects_below_all_scale_ranges_get_no_cell():
    objects = batch_of([[5.0, 5.0, 5.5, 5.5], [160.0, 96.0, 160.0, 96.0]], [0, 1], [0, 0], 1)
    assert assign(objects).image_counts == [0]


def test_centres_at_the_far_border_stay_on_the_grid():
    objects = batch_of([[158.0, 94.0, 160.0, 96.0], [0.0, 0.0, 2.0, 2.0]], [0, 1], [0, 0], 1)
    assert owners_of(assign(objects), objects) == {(0, 99): 0, (0, 0): 1}


def test_padding_moves_the_cells():
    objects = batch_of([[60.0, 30.0, 100.0, 66.0]], [0], [0], 1)
    # centre (80, 48), scale 38: levels of 8 and 6 cells
    first, second = (assign(objects, pos_scale=0, frame=frame) for frame in (FRAME, (192, 320)))
    assert first.place_inds.tolist() == [100 + 4 * 8 + 4, 164 + 3 * 6 + 3]
    assert second.place_inds.tolist() == [100 + 2 * 8 + 2, 164 + 1 * 6 + 1]


def test_the_order_of_the_positives_is_that_of_the_objects_and_never_changes():
    objects = random_objects((30, 30), seed=3)
    one, two = assign(objects, pos_scale=0.6), assign(objects, pos_scale=0.6)
    keys = one.object_inds * OFFSETS[-1] + one.place_inds
    assert (keys.diff() > 0).all()
    assert torch.equal(one.object_inds, two.object_inds)
    assert torch.equal(one.place_inds, two.place_inds)
    assert sum(one.image_counts) == len(one.object_inds)
