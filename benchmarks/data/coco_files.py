"""Reads the official COCO 2017 files, and writes folders that are whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.paths import require_files, require_paths
from mmdet_discobox.utils.types import Json

__all__ = [
    "CocoSplit", "Json", "Size", "name_ids", "new_folder", "read_split", "require_absent",
    "write_image", "write_json",
]  # fmt: skip

SOURCE = "Download COCO 2017 from https://cocodataset.org/#download and unpack it into one folder."
JPEG_QUALITY = 90

Size = tuple[int, int]  # height, width


class CocoSplit(NamedTuple):
    """Official records of some images of a split.

    Attributes:
        json_path: the official json.
        image_folder: folder of the official images.
        images: image records by id.
        annotations: annotation records by image id, in the order of the json.
        categories: category records, in the order of the json.
    """

    json_path: Path
    image_folder: Path
    images: dict[int, Json]
    annotations: dict[int, list[Json]]
    categories: list[Json]


def read_split(coco: Path, name: str, *, image_ids: Collection[int]) -> CocoSplit:
    """Read the official records of some images, and check that the image files exist.

    Args:
        coco: folder with `annotations`, `train2017` and `val2017`.
        name: "train2017" or "val2017".
        image_ids: images to read.

    Raises:
        FileNotFoundError: if the json, the folder of the images or an image is missing.
        ValueError: if the json is damaged or lacks an image.
    """
    json_path, image_folder = coco / "annotations" / f"instances_{name}.json", coco / name
    require_paths([coco, json_path, image_folder], source=SOURCE)
    content = _parse(json_path, wanted=frozenset(image_ids))
    official = {image["id"]: image for image in content["images"]}
    missing = sorted(set(image_ids) - official.keys())
    if missing:
        raise ValueError(
            f"Expected '{json_path}' to have the images {name_ids(missing)}, but it does not. "
            "Use the json of COCO 2017 as published."
        )
    images = {image_id: official[image_id] for image_id in image_ids}
    require_files(image_folder, [image["file_name"] for image in images.values()], source=SOURCE)
    annotations: dict[int, list[Json]] = {image_id: [] for image_id in image_ids}
    for annotation in filter(None, content["annotations"]):
        annotations[annotation["image_id"]].append(annotation)
    return CocoSplit(json_path, image_folder, images, annotations, content["categories"])


def name_ids(ids: Sequence[int], *, limit: int = 20) -> str:
    """Name ids in an error message, at most `limit` of them."""
    named = ", ".join(map(str, ids[:limit]))
    return named if len(ids) <= limit else f"{named} and {len(ids) - limit} more"


def _parse(json_path: Path, *, wanted: frozenset[int]) -> Json:
    """Parse a json; annotations of unwanted images become None at once, which saves gigabytes."""

    def keep_wanted(record: Json) -> Json | None:
        return record if record.get("image_id") in wanted or "image_id" not in record else None

    try:
        content = json.loads(json_path.read_bytes(), object_hook=keep_wanted)
    except ValueError as error:
        raise ValueError(
            f"Expected '{json_path}' to be a complete json, but got: {error}. Download it again."
        ) from error
    missing = {"images", "annotations", "categories"} - set(content)
    if missing:
        raise ValueError(
            f"Expected '{json_path}' to have `images`, `annotations` and `categories`, but got no "
            f"{', '.join(sorted(missing))}. Use the instances json of COCO 2017 as published."
        )
    return content


def write_image(source: Path, target: Path, *, source_size: Size, size: Size) -> None:
    """Decode an image, shrink it and encode it as JPEG.

    Images that keep their size are encoded again, too: those of the published figures were.

    Args:
        source: Official image.
        target: file to write.
        source_size: height and width that the official json states.
        size: height and width to write.

    Raises:
        ValueError: if the image is damaged, or not of the stated size.
    """
    encoded = np.frombuffer(source.read_bytes(), np.uint8)
    # Annotations refer to the stored pixels, whatever orientation the EXIF data states.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    if pixels is None:
        raise ValueError(f"Expected '{source}' to be an image, but got a damaged file. {SOURCE}")
    if pixels.shape[:2] != source_size:
        raise ValueError(
            f"Expected '{source}' of (height, width) {source_size} but got {pixels.shape[:2]}. "
            "Use the images of COCO 2017 as published."
        )
    if size != source_size:
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    target.write_bytes(data.tobytes())


def require_absent(folder: Path) -> None:
    """Check that neither a folder nor its unfinished predecessor exists.

    Raises:
        FileExistsError: if one does.
    """
    for path in (folder, _unfinished(folder)):
        if path.exists():
            raise FileExistsError(
                f"Expected no '{path}', but it exists. Remove it, or name another folder by --out."
            )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that appears under its name when the context ends without an error.

    Args:
        folder: folder to make. Until then it is called `.part`; an error removes it.

    Raises:
        FileExistsError: if the folder exists.
    """
    require_absent(folder)
    unfinished = _unfinished(folder)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _unfinished(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")
