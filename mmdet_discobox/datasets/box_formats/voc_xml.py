"""A folder of Pascal VOC xml files, one for each picture, as labelImg, CVAT and others write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mmdet_discobox.datasets.coco_records import quote
from mmdet_discobox.utils.paths import is_file
from mmdet_discobox.utils.types import Json

from .picture_files import Pictures, find_picture, picture_size, pictures_by_stem

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: fields of a record that the xml has under other names
_TAKEN = ("bndbox", "name")


def read_voc_xml(folder: str | Path, image_dir: str | Path) -> Json:
    """Read a folder of Pascal VOC annotations.

    Pixels of VOC are counted from 1 and both corners belong to the box: it becomes ``[xmin - 1,
    ymin - 1, xmax - xmin + 1, ymax - ymin + 1]``. Whatever else an ``<object>`` has (``pose``,
    ``truncated``, ``difficult``, attributes) becomes fields of its annotation, and what the file
    has besides (``folder``, ``source``) fields of its image. Classes are numbered by their names.

    Args:
        folder: of the xml files.
        image_dir: folder of the pictures; found by ``<filename>``, or by the name of the xml file.

    Returns:
        The same as a COCO json; ``label_file`` names the xml file.

    Raises:
        FileNotFoundError: if a picture is missing whose size no ``<size>`` tells.
        ValueError: if a file is no such xml, or several pictures have its name.
    """
    folder, image_dir = Path(folder), Path(image_dir)
    pictures = pictures_by_stem(image_dir)
    images, objects = [], []
    for index, path in enumerate(sorted(folder.glob("*.[xX][mM][lL]")), 1):
        root = _parse(path)
        images.append({**_image(root, path, image_dir, pictures), "id": index})
        objects += [{**record, "image_id": index} for record in _objects(root, path)]
    names = sorted({record["name"] for record in objects})
    ids = {name: index for index, name in enumerate(names, 1)}
    annotations = [
        {**_without(record, "name"), "id": index, "category_id": ids[record["name"]]}
        for index, record in enumerate(objects, 1)
    ]
    categories = [dict(id=index, name=name) for name, index in ids.items()]
    return dict(images=images, annotations=annotations, categories=categories)


def _parse(path: Path) -> Element:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(
            f"Expected '{path}' to be a Pascal VOC xml file, but it cannot be parsed: {error}. "
            "Export it again."
        ) from error
    if root.tag != "annotation":
        raise ValueError(
            f"Expected '{path}' to be a Pascal VOC xml file with the root <annotation>, but got "
            f"<{root.tag}>."
        )
    return root


def _image(root: Element, path: Path, image_dir: Path, pictures: Pictures) -> Json:
    name = (root.findtext("filename") or "").strip()
    if not name or not is_file(image_dir / name):
        # tools write wrong suffixes and whole paths of another machine here
        name = find_picture(path.stem, pictures, label_file=path)
    others = {child.tag: _value(child) for child in root if child.tag not in ("object", "filename")}
    width, height = (root.findtext(f"size/{side}") or "" for side in ("width", "height"))
    size = (_number(width), _number(height))
    if not all(size):
        size = picture_size(image_dir / name)
    sides = dict(width=size[0], height=size[1])
    return {**others, **sides, "file_name": name, "label_file": path.name}


def _objects(root: Element, path: Path) -> Iterator[Json]:
    for position, element in enumerate(root.findall("object"), 1):
        where = f"object {position} of '{path}'"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise ValueError(f"Expected {where} to have a <name>, but it has none.")
        texts = [element.findtext(f"bndbox/{corner}") or "" for corner in _CORNERS]
        corners = [_number(text) for text in texts]
        x1, y1, x2, y2 = (value or 0.0 for value in corners)
        if None in corners or x2 < x1 or y2 < y1:
            raise ValueError(
                f"Expected {where} to have a <bndbox> of {_CORNERS} with the smaller corner first, "
                f"but got {quote(texts)}."
            )
        box = [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]
        others = {child.tag: _value(child) for child in element if child.tag not in _TAKEN}
        yield {**others, "name": name, "bbox": box}


def _number(text: str) -> float | None:
    """A finite number, whole where it is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not abs(value) < float("inf"):
        return None
    return int(value) if value.is_integer() else value


def _value(element: Element) -> Any:
    """Text of an element, or its children by name; children of one name are a list."""
    if not len(element):
        text = (element.text or "").strip()
        number = _number(text)
        return text if number is None else number
    children: Json = {}
    for child in element:
        value = _value(child)
        if child.tag in children:
            known = children[child.tag]
            value = [*known, value] if isinstance(known, list) else [known, value]
        children[child.tag] = value
    return children


def _without(record: Json, field: str) -> Json:
    return {key: value for key, value in record.items() if key != field}
