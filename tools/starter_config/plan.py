"""Choose image scale, batch size and length of a training from a data set."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from dataset_checks.schedules import choose_schedule
from mmdet_discobox.annotation_files.box_table import BoxTable

from .networks import Network

#: ``sqrt(width * height)`` in pixels at which a small object (the 10th percentile) is enlarged no
#: further, and up to which factor images are enlarged for it
_SMALL, _MOST = 32.0, 2.0
#: images are enlarged to this longest side in pixels
_SHORTEST = 640
#: objects below this size in pixels have hardly a cell of the masks, which have stride 4 to 8
_TINY = 16.0
#: most images of a step: more would make the few steps of a small data set fewer
_MOST_IMAGES = 8


@dataclass(frozen=True)
class Plan:
    """Settings of a training that depend on the data.

    Attributes:
        image_scale: longest and shortest side of an image in pixels.
        image_size: median longest and shortest side of the given images in pixels.
        enlarged: why the images are enlarged; empty if they are not.
        tiny_share: share of the boxes below 16 pixels at this scale.
        batch_size: images per step and GPU.
        epochs: length of the training.
        steps: the same on one GPU, in steps.
        warm_up: steps of the warm-up.
        interval: epochs between two checkpoints and validations.
    """

    image_scale: tuple[int, int]
    image_size: tuple[int, int]
    enlarged: str
    tiny_share: float
    batch_size: int
    epochs: int
    steps: int
    warm_up: int
    interval: int


def plan_training(table: BoxTable, network: Network) -> Plan:
    """Choose the settings of a training that starts from weights of COCO.

    Images have the size that mmdet trains the network with, or their own if that is smaller, but
    small objects may enlarge them.

    Args:
        table: the boxes to train on.
        network: the network.
    """
    used = _trained_images(table, network)
    scale, sizes, enlarged = _image_scale(table, network)
    fitting = 2 ** round(log2(max(1.0, network.pixels / (scale[0] * scale[1]))))
    batch_size = min(fitting, _MOST_IMAGES, used)
    schedule = choose_schedule(used, batch_size)
    median = np.median(np.sort(table.image_sizes, 1)[:, ::-1], 0)
    return Plan(
        image_scale=scale,
        image_size=(int(median[0]), int(median[1])),
        enlarged=enlarged,
        tiny_share=float((sizes < _TINY).mean()) if len(sizes) else 0.0,
        batch_size=batch_size,
        epochs=schedule.epochs,
        steps=schedule.steps,
        warm_up=schedule.warm_up,
        interval=max(1, schedule.epochs // 6),
    )


def _trained_images(table: BoxTable, network: Network) -> int:
    if network.keeps_empty:
        return max(1, len(table.image_sizes))
    # mmdet leaves out images without any annotation; crowds and dropped boxes are annotations
    return max(1, len(np.unique(table.image_inds)))


def _image_scale(table: BoxTable, network: Network) -> tuple[tuple[int, int], np.ndarray, str]:
    """Return the image scale, the sizes of the boxes at this scale, and why it is enlarged."""
    longest = table.image_sizes.max(1)
    relative = np.sqrt(table.sides.prod(1)) / longest[table.image_inds]
    relative = relative[table.trained]
    long, short = np.median(longest), np.median(table.image_sizes.min(1))
    if network.fixed:
        why = "for the anchors, which have this size" if network.largest[0] > long else ""
        return network.largest, relative * network.largest[0], why
    small = np.percentile(relative, 10) * long if len(relative) else np.inf
    for_small, least = float(np.clip(_SMALL / small, 1.0, _MOST)), _SHORTEST / long
    factor = min(max(for_small, least), network.largest[0] / long, network.largest[1] / short)
    scale = (_rounded(factor * long), _rounded(factor * short))
    why = "for small objects" if for_small >= least else f"to the least size of {_SHORTEST}"
    why = why if factor > 1 else ""
    return scale, relative * min(scale[0], scale[1] * long / short), why


def _rounded(side: float) -> int:
    """Round to a multiple of 32, to which networks pad the images, but keep mmdet's 1333."""
    return 1333 if round(side) == 1333 else max(32, 32 * round(side / 32))
