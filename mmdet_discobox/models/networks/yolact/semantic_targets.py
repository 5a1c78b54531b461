"""Targets of YOLACT's semantic branch from boxes and refined masks (not in the paper).

The branch predicts for every cell which classes lie there. Under box supervision a class is

- present where a refined mask of it that may teach lies,
- not known in the rest of the boxes of its other objects, whose masks may not teach,
- absent everywhere else: a box holds all of its object.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_discobox.functional import box_masks, check_shapes
from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects, PseudoMasks


def semantic_targets(
    pseudo: PseudoMasks,
    objects: BoxObjects,
    *,
    stride: float,
    size: tuple[int, int],
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """Unite the refined masks of each class, and find the cells about which nothing is known.

    Args:
        pseudo: refined masks of the G objects.
        objects: the objects, with classes in [0, num_classes); to check these would wait for the
            device.
        stride: pixels per cell of the grid.
        size: ``(H, W)`` of the grid.
        num_classes: ``C``, number of classes.

    Returns:
        Where the classes are present, and where that is known, both ``(B, C, H, W)`` boolean.

    Raises:
        ValueError: if there is not one refined mask for each object.
    """
    check_shapes(boxes=(objects.boxes, "G 4"), masks=(pseudo.masks, "G S S"))
    inside = box_masks(objects.boxes / stride, size)
    masks = inside & (paste_regions(pseudo.masks, pseudo.regions / stride, size) > 0.5)
    valid = pseudo.valid[:, None, None]
    present = _unite(masks & valid, objects, num_classes)
    return present, present | ~_unite(inside & ~valid, objects, num_classes)


def _unite(masks: Tensor, objects: BoxObjects, num_classes: int) -> Tensor:
    """Cells ``(B, C, H, W)`` that the mask ``(G, H, W)`` of some object of the class covers."""
    num_images = len(objects.image_sizes)
    planes = objects.image_inds * num_classes + objects.labels
    counts = torch.zeros(num_images * num_classes, *masks.shape[1:], device=masks.device)
    counts.index_add_(0, planes, masks.float())
    return counts.view(num_images, num_classes, *masks.shape[1:]) > 0
