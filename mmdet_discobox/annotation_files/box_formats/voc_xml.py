"""Read folders of Pascal VOC xml files, one per image, as written by labelImg, CVAT and others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mmengine.logging import print_log

from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.utils.files import read_regular
from mmdet_discobox.utils.images import find_image, image_names_by_stem, image_size, stem
from mmdet_discobox.utils.paths import is_file, is_inside
from mmdet_discobox.utils.types import Json

from .label_files import check_one_file_each, label_files

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: elements of an object that its annotation has under another name
_RENAMED = ("bndbox", "name")
#: deeper elements are no annotation
_MAX_DEPTH = 30


def read_voc_xml(folder: str | Path, image_dir: str | Path) -> Json:
    """Read a folder of Pascal VOC annotations.

    VOC counts pixels from 1 and includes both corners: boxes become ``[xmin - 1, ymin - 1,
    xmax - xmin + 1, ymax - ymin + 1]``. Other elements of an ``<object>`` (``pose``,
    ``truncated``, ``difficult``, attributes) become fields of its annotation, other elements of
    the file (``folder``, ``source``) fields of its image. Classes are numbered in sorted order.

    Args:
        folder: folder of the xml files.
        image_dir: folder of the images, found by ``<filename>`` or the name of the xml file. If
            they name two images, the name of the file counts, as copied files keep ``<filename>``;
            this is logged.

    Returns:
        A COCO json; ``label_file`` of an image is the name of its xml file.

    Raises:
        FileNotFoundError: if an image without ``<size>`` is missing.
        ValueError: if a file cannot be read, several images have its name, or two files are of
            the same image.
    """
    folder, image_dir = Path(folder), Path(image_dir)
    names_by_stem = image_names_by_stem(image_dir)
    images, objects, overruled = [], [], []
    for index, path in enumerate(label_files(folder, ".xml"), 1):
        root = _parse_xml(path)
        record = _read_image_record(root, path, image_dir, names_by_stem)
        named = _named_image(root, image_dir)
        if named not in (None, record["file_name"]):
            overruled.append(f"'{path.name}' names '{named}'")
        images.append({**record, "id": index})
        objects += [{**record, "image_id": index} for record in _read_objects(root, path)]
    check_one_file_each(
        images, suffix="xml", fix="Correct the <filename> of one, or merge their objects."
    )
    if overruled:
        print_log(
            f"{len(overruled)} xml files of '{folder}' name another image in <filename> than the "
            f"one with their own name, which is taken; first {overruled[0]}.",
            logger="current",
            level=logging.WARNING,
        )
    names = sorted({record["name"] for record in objects})
    ids = {name: index for index, name in enumerate(names, 1)}
    annotations = []
    for index, record in enumerate(objects, 1):
        category_id = ids[record.pop("name")]
        annotations.append({**record, "id": index, "category_id": category_id})
    categories = [dict(id=index, name=name) for name, index in ids.items()]
    return dict(images=images, annotations=annotations, categories=categories)


def _parse_xml(path: Path) -> Element:
    try:
        root = ElementTree.fromstring(read_regular(path))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(
            f"Expected '{path}' to be a Pascal VOC xml file, but it cannot be parsed: {error}. "
            "Export it again."
        ) from error
    if root.tag != "annotation":
        raise ValueError(
            f"Expected '{path}' to be a Pascal VOC xml file with the root <annotation>, but got "
            f"<{root.tag}>."
        )
    if _is_deep(root):
        raise ValueError(
            f"Expected '{path}' to be a Pascal VOC xml file, but its elements are nested more than "
            f"{_MAX_DEPTH} levels deep. Export it again."
        )
    return root


def _is_deep(root: Element) -> bool:
    level = [root]
    for _ in range(_MAX_DEPTH):
        level = [child for element in level for child in element]
    return bool(level)


def _read_image_record(
    root: Element, path: Path, image_dir: Path, names_by_stem: Mapping[str, list[str]]
) -> Json:
    name = _named_image(root, image_dir)
    if name is None or (stem(PurePath(name)) != stem(path) and stem(path) in names_by_stem):
        # some tools write a wrong suffix or a path of another machine, or copy the file
        name = find_image(path, names_by_stem)
    others = {c.tag: _parse_value(c) for c in root if c.tag not in ("object", "filename")}
    width, height = (root.findtext(f"size/{side}") or "" for side in ("width", "height"))
    size = (_parse_number(width), _parse_number(height))
    if not all(size):
        size = image_size(image_dir / name)
    sides = dict(width=size[0], height=size[1])
    return {**others, **sides, "file_name": name, "label_file": path.name}


def _named_image(root: Element, image_dir: Path) -> str | None:
    """Return the ``<filename>`` if it is that of an image."""
    name = (root.findtext("filename") or "").strip()
    there = name and is_inside(name, image_dir) and is_file(image_dir / name)
    return name if there else None


def _read_objects(root: Element, path: Path) -> Iterator[Json]:
    for position, element in enumerate(root.findall("object"), 1):
        where = f"object {position} of '{path}'"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise ValueError(f"Expected {where} to have a <name>, but it has none.")
        texts = [element.findtext(f"bndbox/{corner}") or "" for corner in _CORNERS]
        corners = [_parse_number(text) for text in texts]
        x1, y1, x2, y2 = (value or 0.0 for value in corners)
        if None in corners or x2 < x1 or y2 < y1:
            raise ValueError(
                f"Expected {where} to have a <bndbox> of {_CORNERS} with the smaller corner first, "
                f"but got {quote(texts)}."
            )
        box = [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]
        others = {c.tag: _parse_value(c) for c in element if c.tag not in _RENAMED}
        if attributes := _named_values(element):
            others["attributes"] = attributes
        yield {**others, "name": name, "bbox": box}


def _named_values(element: Element) -> Json:
    """Return the attributes of an object as CVAT writes them, with a name and a value each."""
    named = {
        (each.findtext("name") or "").strip(): each.find("value")
        for each in element.findall("attributes/attribute")
    }
    return {name: _parse_value(value) for name, value in named.items() if value is not None}


def _parse_number(text: str) -> float | None:
    """Parse a finite number, as int if it is whole; None for other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not abs(value) < float("inf"):
        return None
    return int(value) if value.is_integer() else value


def _parse_value(element: Element) -> Any:
    """Return the text of an element, or its children by name; repeated names become a list."""
    if not len(element):
        text = (element.text or "").strip()
        number = _parse_number(text)
        return text if number is None else number
    children: Json = {}
    for child in element:
        value = _parse_value(child)
        if child.tag in children:
            known = children[child.tag]
            value = [*known, value] if isinstance(known, list) else [known, value]
        children[child.tag] = value
    return children
