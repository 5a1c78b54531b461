"""Write masks as ultralytics' segmentation training reads them.

    OUT/data.yaml              paths and names of the classes
    OUT/train.txt              one line ``./images/NAME.jpg`` per image
    OUT/images/NAME.jpg        a link to the image
    OUT/labels/NAME.txt        one line ``class x1 y1 x2 y2 ...`` per object

Ultralytics looks for the labels of an image in the path where the last ``/images/`` of the image's
path is replaced by ``/labels/``. The links make this work for images in any folder, and keep the
labels apart from the boxes that users of YOLO have in ``labels`` beside their images.

A line has one polygon, whose coordinates are fractions of the image's width and height. Parts of a
mask are joined by bridges of no width, as ultralytics' converter of COCO joins them. Holes are
filled.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import yaml
from scipy.spatial import cKDTree

from mmdet_discobox.labelling.mask_encoding import decode_rle, has_holes, to_polygons
from mmdet_discobox.utils.files import new_folder
from mmdet_discobox.utils.paths import is_file
from mmdet_discobox.utils.types import Json

from .labelled_images import (
    LabelledImage,
    check_file_names,
    count,
    labelled_images,
    relative_path,
)


def check_yolo_seg(dataset: Json) -> None:
    """Raise a ValueError if two images would share a label file, or a name has a line break."""
    check_file_names(dataset, image_path, file_format="yolo-seg", suffix=".txt")


def image_path(file_name: str) -> PurePath:
    """Return the path of an image below ``OUT/images``.

    Sub-folders called ``images`` are dropped: ultralytics would replace these by ``labels``.
    """
    parts = relative_path(file_name).parts
    return PurePath(*(part for part in parts[:-1] if part != "images"), parts[-1])


def write_yolo_seg(out: Path, dataset: Json, image_dir: Path | None) -> list[str]:
    """Write the folder.

    Args:
        out: folder to create.
        dataset: a COCO json with masks. Classes are numbered in the order of its categories.
        image_dir: folder of the images; None leaves the links to the user. Images that are not in
            it are left out.

    Returns:
        Sentences for the user.

    Raises:
        ValueError: if the file system of ``out`` has no links.
    """
    labels = {category["id"]: index for index, category in enumerate(dataset["categories"])}
    images = [
        image
        for image in labelled_images(dataset)
        if image_dir is None or is_file(image_dir / image.file_name)
    ]
    holes = 0
    with new_folder(out) as folder:
        (folder / "labels").mkdir()
        for image in images:
            lines = []
            for annotation in image.objects:
                mask = decode_rle(image.rle(annotation))
                holes += has_holes(mask)
                if mask.any():
                    lines.append(f"{labels[annotation['category_id']]} {_outline(mask)}")
            path = image_path(image.file_name)
            _write_text(folder / "labels" / path.with_suffix(".txt"), lines)
            if image_dir is not None:
                _link(folder / "images" / path, image_dir / image.file_name)
        paths = [f"./images/{image_path(image.file_name).as_posix()}" for image in images]
        _write_text(folder / "train.txt", paths)
        _write_text(folder / "data.yaml", _data_yaml(out, dataset))
    return _notes(out, dataset, images, holes, linked=image_dir is not None)


def _outline(mask: np.ndarray) -> str:
    points = join_polygons(to_polygons(mask)) / mask.shape[::-1]  # (N, 2) fractions of the image
    return " ".join(f"{value:.6f}" for value in points.flatten())


def join_polygons(polygons: Sequence[Sequence[float]]) -> np.ndarray:
    """Join the parts of a mask to one polygon.

    Beginning with the part of most corners, the nearest other part is inserted until none is left:
    the outline goes from the corner nearest to that part over to it, around it, and back.

    Args:
        polygons: at least one part ``[x1, y1, x2, y2, ...]``.

    Returns:
        ``(N, 2)`` corners; the last one is connected to the first.
    """
    parts = sorted((np.reshape(polygon, (-1, 2)) for polygon in polygons), key=len)
    joined = parts.pop()
    while parts:
        tree = cKDTree(joined)
        distances, nearest = zip(*(tree.query(part) for part in parts), strict=True)
        index = int(np.argmin([each.min() for each in distances]))
        there = int(distances[index].argmin())
        here = int(nearest[index][there])
        loop = np.roll(parts.pop(index), -there, axis=0)
        joined = np.concatenate([joined[: here + 1], loop, loop[:1], joined[here:]])
    return joined


def _data_yaml(out: Path, dataset: Json) -> list[str]:
    names = {index: category["name"] for index, category in enumerate(dataset["categories"])}
    content = dict(path=str(out.resolve()), train="train.txt", val="train.txt", names=names)
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    return [
        "# `path` is this folder: change it after moving the folder.",
        "# `val` are the training images: replace it by other images with true masks.",
        *text.splitlines(),
    ]


def _link(link: Path, image: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(image.resolve())
    except OSError as error:
        raise ValueError(
            f"Expected to link the images in the folder of --format yolo-seg, but got: {error}. "
            "Write to a file system with symbolic links."
        ) from error


def _write_text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _notes(
    out: Path, dataset: Json, images: list[LabelledImage], holes: int, *, linked: bool
) -> list[str]:
    missing = len(dataset["images"]) - len(images)
    ignored = sum(len(image.ignored) for image in images)
    notes = []
    if missing:
        notes.append(
            f"Left out: {count(missing, 'image')} without a file, or whose boxes have no mask."
        )
    if ignored:
        what = count(ignored, "crowd or ignored object")
        notes.append(f"Left out: {what}. YOLO cannot mark these, and they count as background.")
    if holes:
        notes.append(f"The holes of {count(holes, 'mask')} are filled: polygons of YOLO have none.")
    if not linked:
        notes.append(
            f"Copy or link the images to '{out / 'images'}', under the names in "
            f"'{out / 'train.txt'}'."
        )
    data = shlex.quote(f"data={out.resolve() / 'data.yaml'}")
    return [*notes, f"To train on them: yolo segment train model=yolo11n-seg.pt {data}"]
