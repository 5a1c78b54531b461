"""Make pairs of the objects of any COCO key-point json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmdet_discobox.datasets.converters.files import require_paths
from mmdet_discobox.datasets.multi_object.keypoint_objects import read_coco_keypoints
from mmdet_discobox.datasets.multi_object.objects import KeypointObjects

from .keypoint_pair import KeypointImage, KeypointPair


def read_coco_keypoint_pairs(
    ann_file: str | Path, image_root: str | Path, *, min_common: int = 1
) -> Iterator[KeypointPair]:
    """Read the objects and pair each with all others of its class in other pictures.

    A pair and its reverse are two pairs, as in PF-WILLOW. A key point counts if it is visible
    (``v`` is 2), and crowds are left out.

    Args:
        ann_file: A json whose annotations have ``keypoints`` and ``bbox``.
        image_root: Folder of its pictures.
        min_common: Least number of key points visible in both.

    Returns:
        The pairs in the order of the json, made as they are asked for: there are about as many as
        the square of the objects of a class.

    Raises:
        FileNotFoundError: If the json or pictures are missing.
        ValueError: If it is no COCO json, or has no usable key points.
    """
    objects = read_coco_keypoints(ann_file)
    paths = [Path(image_root) / name for name in objects.images]
    require_paths(
        (paths[place] for place in np.unique(objects.image_index)),
        source=f"It is named in '{ann_file}': set `image_root` to the folder of its pictures.",
    )
    return _pairs(objects, [_image(objects, row, paths) for row in range(len(objects))], min_common)


def _image(objects: KeypointObjects, row: int, paths: list[Path]) -> KeypointImage:
    return KeypointImage(
        paths[objects.image_index[row]],
        objects.keypoints[row].astype(np.float64),
        objects.visible[row],
        objects.boxes[row].astype(np.float64),
    )


def _pairs(
    objects: KeypointObjects, images: list[KeypointImage], min_common: int
) -> Iterator[KeypointPair]:
    for source, image in enumerate(images):
        same_class = objects.labels == objects.labels[source]
        elsewhere = objects.image_index != objects.image_index[source]
        common = (objects.visible & image.visible).sum(axis=1)
        class_name = objects.classes[objects.labels[source]]
        for target in np.flatnonzero(same_class & elsewhere & (common >= min_common)):
            yield KeypointPair(f"{source}-{target}:{class_name}", class_name, image, images[target])
