"""The one door of COCO jsons: check, training, labelling and evaluation read them here alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from mmdet_discobox.utils.types import Json

from .coco_repairs import repair
from .coco_validation import check_coco_boxes, load_coco_json


def read_coco(
    path: str | Path,
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    image_dir: str | Path | None = None,
    annotated: bool = True,
    masks: bool = True,
) -> Json:
    """Read a COCO json; see :func:`open_coco`.

    Args:
        path: the file.
        name: name of the file in errors; the path by default.
        classes: as for :func:`open_coco`, like the others.
        image_dir: folder of the images.
        annotated: whether boxes are required.
        masks: whether masks and areas are read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a COCO json, or has problems.
    """
    dataset = load_coco_json(path, name=name)
    return open_coco(
        dataset, name=name or str(path), classes=classes, image_dir=image_dir,
        annotated=annotated, masks=masks,
    )  # fmt: skip


def open_coco(
    dataset: Any,
    *,
    name: str,
    classes: Sequence[str] | None = None,
    image_dir: str | Path | None = None,
    annotated: bool = True,
    masks: bool = True,
) -> Json:
    """Validate a parsed COCO json and repair its optional fields.

    Args:
        dataset: parsed json; not changed.
        name: name of the file in errors.
        classes: names of the classes to train, as in ``metainfo``; None skips their validation.
        image_dir: folder that no ``file_name`` may leave; None skips this check.
        annotated: whether ``annotations`` must be there. A json of a test set has none.
        masks: whether ``segmentation`` and ``area`` are read; if not, they are not repaired.

    Returns:
        The json, see :func:`repair`. Repairs of boxes and masks are logged as warnings.

    Raises:
        ValueError: if the json has problems; with their number and the first five.
    """
    check_coco_boxes(dataset, name=name, classes=classes, image_dir=image_dir, annotated=annotated)
    repaired, repairs = repair(dataset, masks=masks)
    for each in repairs:
        print_log(f"'{name}': {each}", logger="current", level=logging.WARNING)
    return repaired


def index_coco(dataset: Json) -> COCO:
    """Return the index of a json that mmdet's data sets and metrics work with."""
    coco = COCO()
    coco.dataset = dataset
    with redirect_stdout(StringIO()):  # pycocotools prints that it creates an index
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
    return coco
