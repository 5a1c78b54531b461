"""Validate a COCO json of boxes before training.

Only fields that box supervision reads are validated: images with their sizes, boxes, and the
references between the three lists. ``segmentation`` and ``area`` are optional and ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet_discobox.utils.types import Json

from .coco_records import (
    Problem,
    annotation_problems,
    category_problems,
    image_problems,
    quote,
    quote_some,
)

_SECTIONS = ("images", "annotations", "categories")


def load_coco_json(path: str | Path, *, name: str | None = None) -> Any:
    """Parse a json file without validating its content.

    Args:
        path: File to read.
        name: Name of the file in errors; the path by default.

    Returns:
        The parsed json.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be parsed.
    """
    name = name or str(path)
    try:
        return json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected a COCO json at '{name}', but there is no such file. Set `ann_file`, which "
            "is relative to `data_root`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected '{name}' to be a COCO json, but it cannot be parsed: {error}. Export it "
            "again from the labelling tool; an incomplete download or copy has the same effect."
        ) from error


def check_coco_boxes(dataset: Any, *, name: str, classes: Sequence[str] | None = None) -> None:
    """Raise one error that lists the problems of a COCO json.

    Args:
        dataset: Parsed json.
        name: Name of the file in the error.
        classes: Names of the classes to train, as in ``metainfo``; None skips their validation.

    Raises:
        ValueError: If :func:`find_problems` finds any; with their number and the first five.
    """
    problems = find_problems(dataset, classes=classes)
    if not problems:
        return
    shown = "".join(f"\n- {problem}" for problem in problems[:5])
    more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
    raise ValueError(
        f"Expected '{name}' to be a COCO json with usable boxes, but found {len(problems)} "
        f"problem{'s' if len(problems) > 1 else ''}:{shown}{more}"
    )


def find_problems(dataset: Any, *, classes: Sequence[str] | None = None) -> list[Problem]:
    """Find faults that would stop a training run or silently change its data.

    Args:
        dataset: Parsed json.
        classes: Names of the classes to train, as in ``metainfo``; None skips their validation.

    Returns:
        Problems of images, categories and annotations, in this order. Problems of the structure of
        the json are returned alone, problems of ``classes`` only if there are no others.
    """
    if problems := _structure_problems(dataset):
        return problems
    problems = image_problems(dataset["images"]) + category_problems(dataset["categories"])
    problems += annotation_problems(**{section: dataset[section] for section in _SECTIONS})
    if classes is not None and not problems:
        problems += _class_problems(dataset["categories"], classes)
    return problems


def _structure_problems(dataset: Any) -> list[Problem]:
    if not isinstance(dataset, dict):
        fault = f"is a json {type(dataset).__name__} instead of an object"
        return [Problem("the file", fault, f"COCO has an object with the lists {_SECTIONS}")]
    problems = []
    for section in _SECTIONS:
        records = dataset.get(section)
        if not isinstance(records, list):
            fault = "is missing" if section not in dataset else f"is {quote(records)}"
            fix = "COCO has a list here; choose 'COCO' or 'COCO detection' as the export format"
            problems.append(Problem(f"`{section}`", fault, fix))
            continue
        problems += [
            Problem(f"`{section}[{index}]`", f"is {quote(record)}", "COCO has an object here")
            for index, record in enumerate(records)
            if not isinstance(record, dict)
        ]
    return problems


def _class_problems(categories: list[Json], classes: Sequence[str]) -> list[Problem]:
    """Find classes that are not in the json, or in another order.

    mmdet numbers the classes in the order of the json and silently ignores unknown names: labels
    would get wrong names, or the data set would be empty.
    """
    names = [category["name"] for category in categories]
    fix = f"Set metainfo=dict(classes=[{quote_some(names)}]) or to some of these"
    if isinstance(classes, str) or not classes:
        fault = f"`classes` is {classes!r}, not a list of names"
        return [Problem("`metainfo`", fault, fix)]
    if missing := [name for name in classes if name not in set(names)]:
        fault = f"`classes` has names that the json does not have: {quote_some(missing)}"
        return [Problem("`metainfo`", fault, fix)]
    if (order := [name for name in names if name in set(classes)]) != list(classes):
        fault = f"`classes` is [{quote_some(classes)}], but the json has [{quote_some(order)}]"
        fix = "Name each class once, in the order of the json, which is how mmdet numbers them"
        return [Problem("`metainfo`", fault, fix)]
    return []
