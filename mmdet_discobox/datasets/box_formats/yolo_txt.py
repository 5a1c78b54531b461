"""A folder of YOLO txt files: one line ``class x y width height`` for each box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmdet_discobox.datasets.coco_records import quote
from mmdet_discobox.utils.types import Json

from .picture_files import find_picture, picture_size, pictures_by_stem

#: files that name the classes, one a line
_NAME_LISTS = (
    "classes.txt",
    "obj.names",
    "_darknet.labels",
    "labels.txt",
    "predefined_classes.txt",
)


def read_yolo_txt(folder: str | Path, image_dir: str | Path) -> Json:
    """Read a folder of YOLO boxes.

    Names of the classes come from ``classes.txt``, ``obj.names`` or ``data.yaml`` in the folder or
    the two above it; without them, the classes are called by their numbers. A sixth column, a
    confidence, is kept as ``score``.

    Args:
        folder: of the txt files.
        image_dir: folder of the pictures, which have the names of the txt files. They give the
            size in pixels, upright by their EXIF orientation, as YOLO sees them.

    Returns:
        The same as a COCO json; ``label_file`` and ``line`` say where a box was read.

    Raises:
        FileNotFoundError: if a picture is missing.
        ValueError: if a line is no box, a file is no text, or several pictures have its name.
    """
    folder, image_dir = Path(folder), Path(image_dir)
    pictures = pictures_by_stem(image_dir)
    paths = [
        path for path in sorted(folder.glob("*.[tT][xX][tT]"))
        if path.name not in _NAME_LISTS and (path.stem in pictures or _has_text(path))
    ]  # fmt: skip
    images: list[Json] = []
    annotations: list[Json] = []
    for image_id, path in enumerate(paths, 1):
        name = find_picture(path.stem, pictures, label_file=path)
        size = picture_size(image_dir / name)
        images.append(
            dict(id=image_id, file_name=name, width=size[0], height=size[1], label_file=path.name)
        )
        for box in _boxes(path, size):
            annotations.append(dict(box, id=len(annotations) + 1, image_id=image_id))
    used = max((annotation["category_id"] for annotation in annotations), default=-1)
    names = _class_names(folder)
    if names and used >= len(names):
        raise ValueError(
            f"Expected the {len(names)} class names of '{folder}' to be enough, but a box has the "
            f"class {used}, counted from 0."
        )
    names = names or [str(number) for number in range(used + 1)]
    categories = [dict(id=number, name=name) for number, name in enumerate(names)]
    return dict(images=images, annotations=annotations, categories=categories)


def _boxes(path: Path, size: tuple[int, int]) -> Iterator[Json]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        columns = line.split()
        if not columns:
            continue
        values = _numbers(columns)
        if values is None or len(values) not in (5, 6) or values[0] < 0 or values[0] % 1:
            raise ValueError(
                f"Expected line {number} of '{path}' to be `class x y width height`, but got "
                f"{quote(line)}. Export boxes, not polygons or key points."
            )
        width, height = values[3] * size[0], values[4] * size[1]
        box = [values[1] * size[0] - width / 2, values[2] * size[1] - height / 2, width, height]
        score = dict(score=values[5]) if len(values) == 6 else {}
        place = dict(label_file=path.name, line=number)
        yield dict(bbox=box, category_id=int(values[0]), **place, **score)


def _numbers(columns: Sequence[str]) -> list[float] | None:
    try:
        values = [float(column) for column in columns]
    except ValueError:
        return None
    return values if all(abs(value) < 1e6 for value in values) else None  # false for NaN


def _class_names(folder: Path) -> list[str]:
    for place in (folder, folder.parent, folder.parent.parent):
        for name in _NAME_LISTS:
            if (place / name).is_file():
                return [line.strip() for line in _text(place / name).splitlines() if line.strip()]
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (place / name).is_file():
                return _yaml_names(place / name)
    return []


def _yaml_names(path: Path) -> list[str]:
    try:
        content: Any = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise ValueError(f"Expected '{path}' to be a yaml file, but: {error}.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(
            f"Expected `names` in '{path}' to be a list, or numbers from 0 with names, but got "
            f"{quote(names)}."
        )
    return [str(name) for name in names]


def _has_text(path: Path) -> bool:
    return bool(_text(path).strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected '{path}' to be a text file in UTF-8, but: {error}.") from error
