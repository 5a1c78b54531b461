"""Read folders of YOLO txt files: one line ``class x y width height`` per box."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from mmengine.logging import print_log

from mmdet_discobox.annotation_files.coco_values import quote, quote_some
from mmdet_discobox.utils.files import read_regular
from mmdet_discobox.utils.images import find_image, image_names_by_stem, image_size, stem
from mmdet_discobox.utils.types import Json

from .label_files import check_one_file_each, label_files

#: files with the names of the classes, one per line
_NAME_LISTS = (
    "classes.txt",
    "obj.names",
    "_darknet.labels",
    "labels.txt",
    "predefined_classes.txt",
)
#: fractions above this are pixels; boxes may reach past their image
_LARGEST = 2.0
#: files that are looked into for labels in sub-folders
_SEARCHED = 1000


def read_yolo_txt(folder: str | Path, image_dir: str | Path) -> Json:
    """Read a folder of YOLO boxes.

    Class names are read from ``classes.txt``, ``obj.names`` or ``data.yaml`` in the folder or the
    two above it; without them, the numbers of the classes are their names, and a warning says so.
    A sixth column, the confidence, is kept as ``score``.

    Args:
        folder: folder of the txt files.
        image_dir: folder of the images, which have the names of the txt files. Boxes are scaled to
            their size after the EXIF orientation is applied, as YOLO does. Images without a txt
            file are left out, and their number is logged: they need not be labelled yet.

    Returns:
        A COCO json; ``label_file`` and ``line`` of an annotation locate its box.

    Raises:
        FileNotFoundError: if an image is missing.
        ValueError: if a file or line cannot be read, several images have the name of a file, or two
            files are of the same image.
    """
    folder, image_dir = Path(folder), Path(image_dir)
    names_by_stem = image_names_by_stem(image_dir)
    paths = [
        path for path in label_files(folder, ".txt")
        if path.name not in _NAME_LISTS and (stem(path) in names_by_stem or _has_boxes(path))
    ]  # fmt: skip
    if not paths:
        raise ValueError(
            f"Expected YOLO label files in the folder '{folder}', one for each image, but found "
            f"none.{_other_folders(folder)}"
        )
    _report_unlabelled(len(names_by_stem.keys() - set(map(stem, paths))), image_dir)
    images: list[Json] = []
    annotations: list[Json] = []
    for image_id, path in enumerate(paths, 1):
        name = find_image(path, names_by_stem)
        size = image_size(image_dir / name)
        images.append(
            dict(id=image_id, file_name=name, width=size[0], height=size[1], label_file=path.name)
        )
        for box in _read_boxes(path, size):
            annotations.append(dict(box, id=len(annotations) + 1, image_id=image_id))
    check_one_file_each(images, suffix="txt", fix="Delete one, or merge their lines.")
    largest = max((annotation["category_id"] for annotation in annotations), default=-1)
    names = _class_names(folder)
    if names and largest >= len(names):
        raise ValueError(
            f"Expected class numbers below {len(names)}, the number of class names of '{folder}', "
            f"but got {largest}. Complete the list of names."
        )
    if not names:
        names = [str(number) for number in range(largest + 1)]
        print_log(
            f"'{folder}' has no names of classes: the boxes get {quote_some(names)}. For others, "
            f"write them, one a line, to '{folder / _NAME_LISTS[0]}', or pass the folder below the "
            "`data.yaml` of the export.",
            logger="current",
            level=logging.WARNING,
        )
    categories = [dict(id=number, name=name) for number, name in enumerate(names)]
    return dict(images=images, annotations=annotations, categories=categories)


def _report_unlabelled(count: int, image_dir: Path) -> None:
    if count:
        have = "has" if count == 1 else "have"
        print_log(
            f"{count} of the images in '{image_dir}' {have} no label file: left out. YOLO takes "
            "such images as free of objects; to keep them, write an empty label file for each.",
            logger="current",
            level=logging.WARNING,
        )


def _read_boxes(path: Path, size: tuple[int, int]) -> Iterator[Json]:
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        columns = line.split()
        if not columns:
            continue
        values = _parse_numbers(columns)
        if values is None or len(values) not in (5, 6) or values[0] < 0 or values[0] % 1:
            raise ValueError(
                f"Expected line {number} of '{path}' to be `class x y width height`, but got "
                f"{quote(line)}. Export boxes, not polygons or key points."
            )
        if max(values[1:5]) > _LARGEST:
            raise ValueError(
                f"Expected line {number} of '{path}' to have fractions of the image's width and "
                f"height, but got {quote(line)}. Divide pixels by the size of the image."
            )
        width, height = values[3] * size[0], values[4] * size[1]
        box = [values[1] * size[0] - width / 2, values[2] * size[1] - height / 2, width, height]
        score = dict(score=values[5]) if len(values) == 6 else {}
        place = dict(label_file=path.name, line=number)
        yield dict(bbox=box, category_id=int(values[0]), **place, **score)


def _has_boxes(path: Path) -> bool:
    """Return whether a file is of labels, other than a list of files or a text to read."""
    try:
        text = _read_text(path)
    except ValueError:  # a note in the encoding of its system; labels are digits
        return False
    columns = next(iter(text.strip().splitlines()), "").split()
    return bool(columns) and _parse_numbers(columns) is not None


def _other_folders(folder: Path) -> str:
    """Return a sentence about sub-folders with labels: exports have these at several levels."""
    paths = islice(folder.rglob("*.txt"), _SEARCHED)
    found = sorted({path.parent for path in paths if path.is_file() and _has_boxes(path)})
    names = ", ".join(f"'{path}'" for path in found[:3])
    return f" Pass a folder with labels, and the folder of its images: {names}." if found else ""


def _parse_numbers(columns: Sequence[str]) -> list[float] | None:
    try:
        values = [float(column) for column in columns]
    except ValueError:
        return None
    return values if all(abs(value) < 1e6 for value in values) else None  # false for NaN


def _class_names(folder: Path) -> list[str]:
    for parent in (folder, folder.parent, folder.parent.parent):
        for name in _NAME_LISTS:
            if (parent / name).is_file():
                return _listed_names(parent / name)
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (parent / name).is_file():
                return _yaml_names(parent / name)
    return []


def _listed_names(path: Path) -> list[str]:
    """Read names by line; the number of a class is that of its line, from 0."""
    names = [line.strip() for line in _read_text(path).rstrip().splitlines()]
    if "" in names:
        raise ValueError(
            f"Expected the name of a class in each line of '{path}', but line "
            f"{names.index('') + 1} is empty, and the classes after it would get other names than "
            "in tools that count this line. Delete it, or name its class."
        )
    return names


class _PlainLoader(yaml.SafeLoader):
    """Load yaml without aliases, by which a kilobyte can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        return super().compose_node(parent, index)


def _yaml_names(path: Path) -> list[str]:
    try:
        content: Any = yaml.load(_read_text(path), _PlainLoader)  # a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"Expected '{path}' to be a yaml file, but got: {error}.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or any(isinstance(n, (list, dict)) for n in names):
        raise ValueError(
            f"Expected `names` in '{path}' to be a list, or a mapping of numbers from 0 to names, "
            f"but got {quote(names)}."
        )
    return [str(name) for name in names]


def _read_text(path: Path) -> str:
    try:
        return read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected '{path}' to be UTF-8 text, but got: {error}.") from error
