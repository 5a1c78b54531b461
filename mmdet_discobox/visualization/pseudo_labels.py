"""Pictures of boxes and masks side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.visualization import Visualizer

from mmdet_discobox.structures import PseudoLabelImage

#: colours of the objects of a picture, RGB
_COLOURS = ((230, 60, 60), (60, 200, 90), (70, 110, 250), (250, 210, 60), (220, 90, 230))


def draw_boxes(image: np.ndarray, boxes: np.ndarray, *, colour: str = "yellow") -> np.ndarray:
    """Draw boxes on a picture.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels.
        colour: a colour of matplotlib.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    canvas = Visualizer(image=image)
    if len(boxes):
        canvas.draw_bboxes(boxes, edge_colors=colour, line_widths=1)
    return canvas.get_image()


def draw_masks(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Lay masks over a picture, the objects in turn in five colours.

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
    """Draw the picture with its boxes, and beside it with each set of masks.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` in pixels.
        mask_sets: sets of ``(n, H, W)`` boolean masks.

    Returns:
        ``(H, (1 + sets) * W, 3)`` uint8 RGB.
    """
    return np.concatenate([draw_boxes(image, boxes), *(draw_masks(image, m) for m in mask_sets)], 1)


def draw_pseudo_labels(taught: PseudoLabelImage) -> np.ndarray:
    """Draw picture with boxes | masks of the student | masks that the teacher teaches.

    Masks that may not teach (``valid`` is false) are left out, and their boxes are red there.

    Args:
        taught: the record.

    Returns:
        ``(H, 3 W, 3)`` uint8 RGB.
    """
    image, boxes, valid = taught.image.numpy(), taught.boxes.numpy(), taught.valid.numpy()
    teaching = taught.teacher.numpy() & valid[:, None, None]
    panels = draw_panels(image, boxes, [taught.student.numpy(), teaching])
    if not valid.all():
        width = image.shape[1]
        refused = draw_boxes(panels[:, -width:].copy(), boxes[~valid], colour="red")
        panels = np.concatenate([panels[:, :-width], refused], 1)
    return panels
