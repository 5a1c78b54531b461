"""Drawings of images with boxes and masks side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.visualization import Visualizer

from mmdet_discobox.structures import PseudoLabelImage

#: colours of the objects of an image, RGB
_COLOURS = ((230, 60, 60), (60, 200, 90), (70, 110, 250), (250, 210, 60), (220, 90, 230))


def draw_boxes(image: np.ndarray, boxes: np.ndarray, *, colour: str = "yellow") -> np.ndarray:
    """Draw boxes on an image.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels.
        colour: a matplotlib colour.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    canvas = Visualizer(image=image)
    if len(boxes):
        canvas.draw_bboxes(boxes, edge_colors=colour, line_widths=1)
    return canvas.get_image()


def draw_masks(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Draw masks on an image in five alternating colours.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        masks: ``(G, H, W)`` boolean.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    canvas = Visualizer(image=image)
    if len(masks):
        colours = [_COLOURS[index % len(_COLOURS)] for index in range(len(masks))]
        canvas.draw_binary_masks(masks.astype(bool), colors=colours, alphas=0.6)
    return canvas.get_image()


def draw_panels(
    image: np.ndarray, boxes: np.ndarray, mask_sets: Sequence[np.ndarray]
) -> np.ndarray:
    """Draw the image with its boxes, and beside it with each set of masks.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` in pixels.
        mask_sets: sets of ``(n, H, W)`` boolean masks.

    Returns:
        ``(H, (1 + sets) * W, 3)`` uint8 RGB.
    """
    return np.concatenate([draw_boxes(image, boxes), *(draw_masks(image, m) for m in mask_sets)], 1)


def draw_pseudo_labels(record: PseudoLabelImage) -> np.ndarray:
    """Draw image with boxes | masks of the student | pseudo-labels of the teacher (| true masks).

    With mixed supervision, the last panel shows the true masks, which replace those of the teacher,
    and the boxes of the objects without one.

    Refined masks that are not used as pseudo-labels (``valid`` is false) are not drawn; their boxes
    are red in the third panel.

    Args:
        record: the image with its masks.

    Returns:
        ``(H, 3 W, 3)`` uint8 RGB, or ``(H, 4 W, 3)`` with true masks.
    """
    image, boxes, valid = record.image.numpy(), record.boxes.numpy(), record.valid.numpy()
    pseudo_labels = record.teacher.numpy() & valid[:, None, None]
    panels = draw_panels(image, boxes, [record.student.numpy(), pseudo_labels])
    if not valid.all():
        width = image.shape[1]
        last = draw_boxes(panels[:, -width:].copy(), boxes[~valid], colour="red")
        panels = np.concatenate([panels[:, :-width], last], 1)
    if record.true is not None:
        true = record.true.numpy()
        last = draw_boxes(draw_masks(image, true), boxes[~true.any((1, 2))])
        panels = np.concatenate([panels, last], 1)
    return panels
