"""Validate a COCO json of boxes before training.

Only fields that box supervision reads are validated: images with their sizes, boxes with their
flags, and the references between the three lists. ``segmentation`` and ``area`` are optional, and
:mod:`.coco_repairs` repairs them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet_discobox.utils.files import read_regular
from mmdet_discobox.utils.paths import is_inside
from mmdet_discobox.utils.types import Json

from .coco_records import (
    MAX_DEPTH,
    Problem,
    annotation_problems,
    category_problems,
    image_problems,
    is_deep,
    look,
)
from .coco_values import quote, quote_some

_SECTIONS = ("images", "annotations", "categories")


def load_coco_json(path: str | Path, *, name: str | None = None) -> Any:
    """Parse a json file without validating its content.

    Args:
        path: file to read.
        name: name of the file in errors; the path by default.

    Returns:
        The parsed json.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be parsed.
    """
    name = name or str(path)
    if Path(path).is_dir():
        raise ValueError(
            f"Expected a COCO json at '{name}', but it is a folder. tools/autolabel.py reads "
            "folders of VOC and YOLO files, and writes a json of them."
        )
    try:
        return json.loads(read_regular(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Expected a COCO json at '{name}', but there is no such file. In a config, set "
            "`ann_file`, which is relative to `data_root`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected '{name}' to be a COCO json, but it cannot be parsed: {error}. Export it "
            "again from the labelling tool; an incomplete download or copy has the same effect."
        ) from error


def check_coco_boxes(dataset: Any, *, name: str, **expected: Any) -> None:
    """Raise one error that lists the problems of a COCO json.

    Args:
        dataset: parsed json.
        name: name of the file in the error.
        **expected: keyword arguments of :func:`find_problems`.

    Raises:
        ValueError: if :func:`find_problems` finds any; with their number and the first five.
    """
    problems = find_problems(dataset, **expected)
    if not problems:
        return
    shown = "".join(f"\n- {problem}" for problem in problems[:5])
    more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
    raise ValueError(
        f"Expected '{name}' to be a COCO json with usable boxes, but found {len(problems)} "
        f"problem{'s' if len(problems) > 1 else ''}:{shown}{more}"
    )


def find_problems(
    dataset: Any,
    *,
    classes: Sequence[str] | None = None,
    image_dir: str | Path | None = None,
    annotated: bool = True,
) -> list[Problem]:
    """Find faults that would stop a training run or silently change its data.

    Args:
        dataset: parsed json.
        classes: names of the classes to train, as in ``metainfo``; None skips their validation.
        image_dir: folder that no ``file_name`` may leave; None skips this check.
        annotated: whether ``annotations`` must be there. A json of a test set has none.

    Returns:
        Problems of images, categories and annotations, in this order. Problems of the structure of
        the json are returned alone, problems of ``classes`` only if there are no others.
    """
    if problems := _structure_problems(dataset, annotated=annotated):
        return problems
    dataset = {"annotations": [], **dataset}
    problems = image_problems(dataset["images"]) + category_problems(dataset["categories"])
    problems += annotation_problems(**{section: dataset[section] for section in _SECTIONS})
    if image_dir is not None and not problems:
        problems += _folder_problems(dataset["images"], image_dir)
    if classes is not None and not problems:
        problems += _class_problems(dataset["categories"], classes)
    return problems


def _structure_problems(dataset: Any, *, annotated: bool) -> list[Problem]:
    if not isinstance(dataset, dict):
        fault = f"is a json {type(dataset).__name__} instead of an object"
        return [Problem("the file", fault, f"COCO has an object with the lists {_SECTIONS}")]
    problems = []
    for section in _SECTIONS:
        if section == "annotations" and section not in dataset and not annotated:
            continue
        records = dataset.get(section)
        if not isinstance(records, list):
            fault = "is missing" if section not in dataset else f"is {quote(records)}"
            problems.append(Problem(f"`{section}`", fault, _section_fix(section, dataset)))
            continue
        problems += [
            Problem(f"`{section}[{index}]`", f"is {quote(record)}", "COCO has an object here")
            for index, record in enumerate(records)
            if not isinstance(record, dict)
        ]
    others = {name: value for name, value in dataset.items() if name not in _SECTIONS}
    if is_deep(others):
        fault = f"{quote_some(others)} are nested more than {MAX_DEPTH} levels deep"
        problems.append(Problem("the file", fault, "Delete what is no part of COCO's format"))
    return problems


def _section_fix(section: str, dataset: Json) -> str:
    if section == "annotations" and isinstance(dataset.get("images"), list):
        return (
            "Without boxes, as in the json of a test set, images can only be predicted "
            "(`test_mode=True`); pass the json with the boxes"
        )
    return "COCO has a list here; choose 'COCO' or 'COCO detection' as the export format"


def _folder_problems(images: list[Json], image_dir: str | Path) -> list[Problem]:
    """Find file names that leave the folder of the images."""
    fix = (
        "Name it relative to the folder of the images; with absolute names, pass `/` as this folder"
    )
    return [
        Problem(
            f"image {quote(image['id'])} ({quote(image['file_name'])})",
            f"its `file_name` leaves the folder '{image_dir}'",
            fix,
        )
        for image in images
        if not is_inside(image["file_name"], image_dir)
    ]


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
    if strange := [name for name in classes if not isinstance(name, str)]:
        return [Problem("`metainfo`", f"`classes` has {quote_some(strange)}", fix)]
    if missing := [name for name in classes if name not in set(names)]:
        fault = f"`classes` has names that the json does not have: {quote_some(missing)}"
        if {look(name) for name in missing} & {look(name) for name in names}:
            fault = f"{fault}. They look alike, but their letters are other Unicode characters"
            shown = ", ".join(map(ascii, names[:10]))
            fix = f"Copy the names of the json: in escaped letters, they are {shown}"
        return [Problem("`metainfo`", fault, fix)]
    if (order := [name for name in names if name in set(classes)]) != list(classes):
        fault = f"`classes` is [{quote_some(classes)}], but the json has [{quote_some(order)}]"
        fix = "Name each class once, in the order of the json, which is how mmdet numbers them"
        return [Problem("`metainfo`", fault, fix)]
    return []
