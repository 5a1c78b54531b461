"""Panels: contents of each, and no other pixel of the image changes."""

from __future__ import annotations

import numpy as np
import torch

from mmdet_discobox.structures import PseudoLabelImage
from mmdet_discobox.visualization import draw_boxes, draw_masks, draw_panels, draw_pseudo_labels

IMAGE = np.full((40, 60, 3), 100, np.uint8)
BOXES = np.array([[5.0, 5, 25, 30], [35, 10, 55, 35]])


def masks():
    filled = np.zeros((2, 40, 60), bool)
    filled[0, 8:28, 8:22] = True
    filled[1, 14:30, 40:50] = True
    return filled


def changed(drawing):
    return (drawing.astype(int) != IMAGE).any(2)


def test_masks_change_only_their_pixels():
    drawing = draw_masks(IMAGE, masks())
    assert drawing.shape == IMAGE.shape
    assert drawing.dtype == np.uint8
    inner, outer = np.zeros((2, 40, 60), bool)  # matplotlib may shift an edge by a pixel
    inner[9:27, 9:21] = inner[15:29, 41:49] = True
    outer[7:29, 7:23] = outer[13:31, 39:51] = True
    assert changed(drawing)[inner].all()
    assert not changed(drawing)[~outer].any()
    first, second = (drawing[mask].astype(int).mean(0) for mask in masks())
    assert np.abs(first - second).max() > 50


def test_boxes_change_only_their_edges():
    drawing = draw_boxes(IMAGE, BOXES)
    assert changed(drawing)[15, [5, 25, 35, 55]].all()
    assert not changed(drawing)[15, [12, 30, 45]].any()


def test_no_boxes_or_masks_do_not_change_the_image():
    none = np.zeros((0, 40, 60), bool)
    assert np.array_equal(draw_panels(IMAGE, np.zeros((0, 4)), [none]), np.hstack([IMAGE] * 2))


def test_panels_are_side_by_side():
    panels = draw_panels(IMAGE, BOXES, [masks()[:1], masks()])
    boxes, one, both = np.split(panels, 3, axis=1)
    assert np.array_equal(boxes, draw_boxes(IMAGE, BOXES))
    assert np.array_equal(one, draw_masks(IMAGE, masks()[:1]))
    assert np.array_equal(both, draw_masks(IMAGE, masks()))


def record(valid, **fields):
    return PseudoLabelImage(
        image=torch.from_numpy(IMAGE),
        boxes=torch.from_numpy(BOXES),
        student=torch.from_numpy(masks()),
        teacher=torch.from_numpy(masks()),
        valid=torch.tensor(valid),
        **fields,
    )


def test_an_invalid_mask_is_not_drawn_and_its_box_is_red():
    student, teacher = np.split(draw_pseudo_labels(record([True, False])), 3, axis=1)[1:]
    assert np.array_equal(student, draw_masks(IMAGE, masks()))
    assert changed(teacher)[masks()[0]].all()
    assert not changed(teacher)[masks()[1]].any()
    red, green, blue = teacher[20, 35].astype(int)
    assert red > max(green, blue) + 40
    both = np.split(draw_pseudo_labels(record([True, True])), 3, axis=1)[2]
    assert np.array_equal(both, draw_masks(IMAGE, masks()))


def test_the_last_panel_has_true_masks_and_boxes_without_one():
    true = masks() & np.array([False, True])[:, None, None]
    drawing = draw_pseudo_labels(record([True, True], true=torch.from_numpy(true)))
    student, _, last = np.split(drawing, 4, axis=1)[1:]
    inside = np.zeros((40, 60), bool)
    inside[16:28, 42:48] = True
    assert np.array_equal(last[inside], student[inside]), "each object keeps its colour"
    box = np.zeros((40, 60), bool)
    box[:, :32] = changed(draw_boxes(IMAGE, BOXES[:1]))[:, :32]
    assert np.array_equal(changed(last)[:, :32], box[:, :32])
