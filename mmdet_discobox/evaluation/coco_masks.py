"""Masks of a COCO json as run-length encodings (RLE), grouped by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from mmdet_discobox.annotation_files.coco_values import is_set
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .voc_instance_ap import Objects


def annotations_without_mask(dataset: Json) -> list[Json]:
    """List the annotations without a mask of a json that :func:`read_coco` has repaired."""
    return [each for each in dataset.get("annotations", []) if "segmentation" not in each]


def objects_by_image(dataset: Json, *, classes: Sequence[str]) -> dict[Hashable, Objects]:
    """Collect the objects of each image.

    Args:
        dataset: COCO json with masks. ``iscrowd`` and ``ignore`` mark crowd regions.
        classes: names of the classes to evaluate. Labels follow the order of the json, as in
            mmdet's data sets.

    Returns:
        The objects of each image of the json, by image id.

    Raises:
        ValueError: if a class is not in the json.
    """
    known = [category["name"] for category in dataset["categories"]]
    if missing := [name for name in classes if name not in known]:
        raise ValueError(
            f"Expected all classes of the data set in the json, but {missing} are not among its "
            f"classes {known}. Set `metainfo=dict(classes=...)` of the data set."
        )
    chosen = [category["id"] for category in dataset["categories"] if category["name"] in classes]
    label_of = {category_id: label for label, category_id in enumerate(chosen)}
    annotations: dict[Hashable, list[Json]] = defaultdict(list)
    for annotation in dataset["annotations"]:
        if annotation["category_id"] in label_of:
            annotations[annotation["image_id"]].append(annotation)
    return {
        image["id"]: _objects(image, annotations[image["id"]], label_of)
        for image in dataset["images"]
    }


def _objects(image: Json, annotations: list[Json], label_of: dict[Any, int]) -> Objects:
    size = {"height": image["height"], "width": image["width"]}
    labels = [label_of[each["category_id"]] for each in annotations]
    crowd = [is_set(each, "iscrowd", "ignore") for each in annotations]
    return Objects(
        masks=[to_rle(each["segmentation"], **size) for each in annotations],
        labels=np.array(labels, dtype=np.int64),
        crowd=np.array(crowd, dtype=bool),
    )
