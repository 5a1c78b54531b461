"""Tell the formats apart."""

from __future__ import annotations

from pathlib import Path

from mmdet_discobox.datasets.coco_validation import check_coco_boxes, load_coco_json
from mmdet_discobox.utils.types import Json

from .voc_xml import read_voc_xml
from .yolo_txt import read_yolo_txt


def read_boxes(path: str | Path, image_dir: str | Path) -> Json:
    """Read a COCO json, a folder of Pascal VOC xml files, or a folder of YOLO txt files.

    Args:
        path: the json or the folder.
        image_dir: folder of the pictures.

    Returns:
        A COCO json whose boxes :func:`check_coco_boxes` finds nothing wrong with. A COCO json is
        returned as it is, with all its fields and ids. The other formats have no ids: boxes are
        numbered from 1, by the names of the files and then the order in the file.

    Raises:
        FileNotFoundError: if the file, a folder, or a picture that gives the size of its boxes is
            missing.
        ValueError: if the boxes cannot be read or used.
    """
    path, image_dir = Path(path), Path(image_dir)
    if not image_dir.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures at '{image_dir}', but got none.")
    dataset = _read_folder(path, image_dir) if path.is_dir() else load_coco_json(path)
    check_coco_boxes(dataset, name=str(path))
    return dataset


def _read_folder(path: Path, image_dir: Path) -> Json:
    suffixes = {file.suffix.lower() for file in path.iterdir()}
    if ".xml" in suffixes:
        return read_voc_xml(path, image_dir)
    if ".txt" in suffixes:
        return read_yolo_txt(path, image_dir)
    raise ValueError(
        f"Expected Pascal VOC xml files or YOLO txt files in the folder '{path}', but there are "
        "none. For COCO, give the json file itself."
    )
