"""Masks on the page of ``autolabel.py``, each with the crop of its image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmdet_discobox.labelling.mask_encoding import decode_rle, mask_digest
from mmdet_discobox.utils.images import read_image
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

#: longer side of a mask on the page in pixels, twice that of its card: the page enlarges it
_SIDE = 440
#: margin around the box, as a fraction of its longer side
_MARGIN = 0.25
#: width of the outlines in pixels
_LINE = 2
#: colours of an overlay, RGBA: none, mask, outline, box
COLOURS = ((0, 0, 0, 0), (255, 120, 40, 80), (255, 120, 40, 255), (255, 255, 255, 150))
_MASK, _OUTLINE, _BOX = 1, 2, 3


@dataclass(frozen=True)
class ReportItem:
    """One mask on the page.

    Attributes:
        ann_id: id of the annotation.
        class_name: name of its class.
        quality: estimated quality of the mask, in [0, 1].
        file_name: file name of the image.
        image: ``(H, W, 3)`` uint8 BGR, the whole image.
        mask: ``(H, W)`` boolean.
        box: ``(x, y, width, height)`` in pixels.
        digest: of the mask, see :func:`~mmdet_discobox.labelling.mask_encoding.mask_digest`.
    """

    ann_id: int | str
    class_name: str
    quality: float
    file_name: str
    image: np.ndarray
    mask: np.ndarray
    box: tuple[float, float, float, float]
    digest: str


def report_items(
    dataset: Json, annotations: list[Json], image_dir: Path, *, on_unread: Callable[[str], None]
) -> Iterator[ReportItem]:
    """Yield the masks with their images, each of which is read once.

    Images that cannot be read are left out; ``on_unread`` takes the reason for each.
    """
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    of_image = defaultdict(list)
    for annotation in annotations:
        of_image[annotation["image_id"]].append(annotation)
    for image in dataset["images"]:
        selected = of_image[image["id"]]
        if not selected:
            continue
        height, width = image["height"], image["width"]
        try:
            pixels = read_image(image_dir / image["file_name"], size=(width, height))
        except (FileNotFoundError, ValueError) as error:
            on_unread(f"{len(selected)} masks: {error}")
            continue
        for a in selected:
            code = to_rle(a["segmentation"], height=height, width=width)
            yield ReportItem(
                ann_id=a["id"],
                class_name=names[a["category_id"]],
                quality=a["mask_quality"],
                file_name=image["file_name"],
                image=pixels,
                mask=decode_rle(code),
                box=tuple(a["bbox"]),
                digest=mask_digest(code, height=height, width=width),
            )


def crop_with_overlay(item: ReportItem) -> tuple[np.ndarray, np.ndarray]:
    """Crop the image around the box, and draw the mask on a transparent overlay.

    Args:
        item: the mask.

    Returns:
        The crop ``(h, w, 3)`` BGR, in the pixels of the image if it has no more than 440 along its
        longer side, and the mask, its outline and its box ``(H, W)`` uint8, as indices of
        ``COLOURS``, with 440 pixels along the longer side.
    """
    x1, y1, x2, y2 = _window(item)
    scale = _SIDE / max(x2 - x1, y2 - y1)
    size = (max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = item.image[y1:y2, x1:x2]
    if scale < 1:
        crop = cv2.resize(crop, size, interpolation=method)
    window = item.mask[y1:y2, x1:x2].astype(np.float32)
    mask = (cv2.resize(window, size, interpolation=method) >= 0.5).astype(np.uint8)
    overlay = mask * _MASK
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(overlay, outlines, -1, _OUTLINE, _LINE)
    x, y, width, height = item.box
    corners = np.array([x - x1, y - y1, x + width - x1, y + height - y1]) * scale
    left, top, right, bottom = (int(value) for value in corners.round().clip(-9, 2 * _SIDE))
    cv2.rectangle(overlay, (left, top), (right - 1, bottom - 1), _BOX, _LINE)
    return crop, overlay


def _window(item: ReportItem) -> tuple[int, int, int, int]:
    """Compute the pixels ``(x1, y1, x2, y2)`` of the crop: the box with a margin."""
    x, y, width, height = item.box
    margin = _MARGIN * max(width, height) + 4
    rows, cols = item.image.shape[:2]
    x1, x2 = _span(x - margin, x + width + margin, cols)
    y1, y2 = _span(y - margin, y + height + margin, rows)
    return x1, y1, x2, y2


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = int(np.clip(np.floor(start), 0, length - 1))
    return first, int(np.clip(np.ceil(end), first + 1, length))
