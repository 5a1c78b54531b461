"""Targets of YOLACT's semantic branch from boxes and refined masks (not in the paper).

The branch predicts the classes present in every cell. Under box supervision a class is

- present in the valid refined masks of its objects,
- otherwise unknown in the boxes of its objects without a valid mask, or too thin for the grid,
- otherwise absent, because boxes contain their objects.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_discobox.functional import box_masks, check_shapes, cover_centres
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
    """Compute where each class is present and where this is known.

    Args:
        pseudo: refined masks of the G objects.
        objects: the objects, with classes in [0, num_classes), which are not checked, because that
            would synchronise.
        stride: pixels per cell of the grid.
        size: ``(H, W)`` of the grid.
        num_classes: number of classes C.

    Returns:
        ``present`` and ``known``, both ``(B, C, H, W)`` boolean.

    Raises:
        ValueError: if the numbers of refined masks and objects differ.
    """
    check_shapes(boxes=(objects.boxes, "G 4"), masks=(pseudo.masks, "G S S"))
    boxes = objects.boxes / stride
    inside = box_masks(boxes, size)
    masks = inside & (paste_regions(pseudo.masks, pseudo.regions / stride, size) > 0.5)
    valid = (pseudo.valid & cover_centres(boxes))[:, None, None]
    present = _unite(masks & valid, objects, num_classes)
    return present, present | ~_unite(inside & ~valid, objects, num_classes)


def _unite(masks: Tensor, objects: BoxObjects, num_classes: int) -> Tensor:
    """Unite the masks ``(G, H, W)`` of each class and image, ``(B, C, H, W)``."""
    num_images = len(objects.image_sizes)
    planes = objects.image_inds * num_classes + objects.labels
    counts = torch.zeros(num_images * num_classes, *masks.shape[1:], device=masks.device)
    counts.index_add_(0, planes, masks.float())
    return counts.view(num_images, num_classes, *masks.shape[1:]) > 0
