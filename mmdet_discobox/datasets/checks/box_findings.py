"""What boxes and classes can have against a training, though the json is well-formed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmdet_discobox.datasets.coco_records import quote, quote_some

from .box_table import BoxTable
from .findings import Finding, found
from .training_settings import TrainingSettings

_SAME = 0.9  # IoU from which two boxes of a class are taken for one object
_ROWS = 1024  # boxes of an image that are compared with the others at a time


def box_findings(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    """Find boxes that are dropped, doubled, or too small, and classes and images without any.

    Args:
        table: the boxes.
        settings: of the training.
    """
    return [
        *_dropped(table),
        *_past_the_border(table),
        *_duplicates(table),
        *_small(table, settings),
        *_classes(table, settings),
        *_images(table),
    ]


def _dropped(table: BoxTable) -> list[Finding]:
    findings = found(
        "warning",
        table.places(table.thin),
        count=int(table.thin.sum()),
        text="{count} boxes are thinner than a pixel and are dropped",
        mend="Draw them again, or delete them",
    )
    findings += found(
        "warning",
        table.places(table.outside),
        count=int(table.outside.sum()),
        text="{count} boxes lie outside their image and are dropped",
        mend="Check that coordinates are pixels of this image as [x, y, width, height]",
    )
    for name, chosen in (("iscrowd", table.crowd & ~table.ignored), ("ignore", table.ignored)):
        findings += found(
            "note",
            (),
            count=int(chosen.sum()),
            text=f"{{count}} boxes have `{name}` set and are not trained as objects",
            mend="Nothing to do if that is meant; their pixels may still train as background",
        )
    return findings


def _past_the_border(table: BoxTable) -> list[Finding]:
    limits = table.image_sizes[table.image_inds]
    past = (table.corners[:, :2] < -1).any(1) | (table.corners[:, 2:] > limits + 1).any(1)
    past &= table.trained
    return found(
        "warning",
        table.places(past),
        count=int(past.sum()),
        text="{count} boxes reach past the border of their image by more than a pixel; training "
        "clips them",
        mend="Many of them are a sign of corners (x1, y1, x2, y2) in place of [x, y, width, "
        "height], or of pictures that were resized after labelling",
    )


def _duplicates(table: BoxTable) -> list[Finding]:
    chosen = np.zeros(len(table.corners), dtype=bool)
    groups = table.image_inds * len(table.dataset["categories"]) + table.class_inds
    order = np.flatnonzero(table.trained)
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        chosen[group] = _repeats(table.corners[group])
    return found(
        "warning",
        table.places(chosen),
        count=int(chosen.sum()),
        text="{count} boxes repeat another box of their class on their image "
        f"(IoU of at least {_SAME})",
        mend="Delete them: one object would be taught twice, and in evaluation it is missed once",
    )


def _repeats(corners: np.ndarray) -> np.ndarray:
    """``(n,)`` boolean: boxes that nearly equal one before them."""
    repeats = np.zeros(len(corners), dtype=bool)
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    for start in range(0, len(corners), _ROWS):
        rows = slice(start, start + _ROWS)
        low = np.maximum(corners[rows, None, :2], corners[None, : start + _ROWS, :2])
        high = np.minimum(corners[rows, None, 2:], corners[None, : start + _ROWS, 2:])
        overlap = (high - low).clip(0).prod(2)  # (rows, columns)
        union = areas[rows, None] + areas[None, : start + _ROWS] - overlap
        before = np.tri(overlap.shape[0], overlap.shape[1], k=start - 1, dtype=bool)
        repeats[rows] = ((overlap >= _SAME * union) & before).any(1)
    return repeats


def _small(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    sides = table.sides * settings.factors(table.image_sizes)[table.image_inds, None]
    stride = settings.mask_stride
    narrow = table.trained & (sides < stride).any(1)
    findings = found(
        "warning",
        table.places(narrow),
        count=int(narrow.sum()),
        text=f"{{count}} boxes are narrower than {stride} pixels after resizing, which is less "
        "than a cell of the masks in training",
        mend="Train at a larger scale, cut the pictures into tiles, or leave these boxes out",
    )
    if settings.scale_ranges:
        scales = np.sqrt(sides.prod(1))
        low, high = np.array(settings.scale_ranges, dtype=float).T
        fits = (low <= scales[:, None]) & (scales[:, None] <= high)
        homeless = table.trained & ~fits.any(1)
        findings += found(
            "warning",
            table.places(homeless),
            count=int(homeless.sum()),
            text="{count} boxes are in no scale range of the config and never trained "
            f"(smallest {low.min():g}, largest {high.max():g} pixels after resizing)",
            mend="Widen `scale_ranges`, or change the scale of the pictures",
        )
    return findings


def _classes(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    names = [category["name"] for category in table.dataset["categories"]]
    wanted = names if settings.classes is None else settings.classes
    counts = np.bincount(table.class_inds[table.trained], minlength=len(names))
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    empty = [name for name in empty if name in wanted]
    findings = found(
        "warning",
        map(quote, empty),
        count=len(empty),
        text="{count} classes have no box to train on",
        mend="Label some, or leave them out of `metainfo` and `num_classes`",
    )
    if not table.trained.any():
        mend = "Check the export, or the flags `iscrowd` and `ignore`"
        findings.append(Finding("error", "There is no box to train on", mend))
    twice = [name for name, times in Counter(names).items() if times > 1]
    findings += found(
        "error",
        map(quote, twice),
        count=len(twice),
        text="{count} names belong to several categories, which mmdet takes for several classes",
        mend="Merge the categories",
    )
    if settings.num_classes is not None and settings.num_classes != len(wanted):
        text = f"`num_classes` is {settings.num_classes}, but the classes are {quote_some(wanted)}"
        mend = f"Set num_classes={len(wanted)} in the head"
        findings.append(Finding("error", text, mend))
    return findings


def _images(table: BoxTable) -> list[Finding]:
    images = table.dataset["images"]
    counts = np.bincount(table.image_inds[table.trained], minlength=len(images))
    files = Counter(image["file_name"] for image in images)
    twice = [name for name, times in files.items() if times > 1]
    findings = found(
        "warning",
        map(quote, twice),
        count=len(twice),
        text="{count} files are named by several images",
        mend="Merge these images: boxes of one teach that there is nothing in the other",
    )
    return findings + found(
        "note",
        (),
        count=int((counts == 0).sum()),
        text=f"{{count}} of {len(images)} images have no box",
        mend="They train as background; filter_cfg=dict(filter_empty_gt=True) leaves them out",
    )
