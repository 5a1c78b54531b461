"""Checks for valid annotations that still hurt training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.coco_records import quote, quote_some

from .findings import Finding, Level, summarize
from .training_settings import TrainingSettings

_DUPLICATE_IOU = 0.9  # two boxes of a class with this IoU count as one object
_BLOCK = 1024  # boxes compared with the others at a time


def box_findings(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    """Find dropped, clipped, duplicate and small boxes, and classes and images without boxes."""
    return [
        *_dropped(table),
        *_clipped(table),
        *_duplicates(table),
        *_small(table, settings),
        *_classes(table, settings),
        *_images(table, settings),
        *_left_out(table, settings),
        *_vanishing(table, settings),
    ]


def _summarize_boxes(
    level: Level, table: BoxTable, selected: np.ndarray, text: str, fix: str
) -> list[Finding]:
    count = int(selected.sum())
    return summarize(level, table.describe(selected), count=count, text=text, fix=fix)


def _dropped(table: BoxTable) -> list[Finding]:
    findings = _summarize_boxes(
        "warning", table, table.thin,
        text="{count} boxes are thinner than a pixel and are dropped",
        fix="Draw them again, or delete them",
    )  # fmt: skip
    findings += _summarize_boxes(
        "warning", table, table.outside,
        text="{count} boxes lie outside their image and are dropped",
        fix="Check that the coordinates are [x, y, width, height] in pixels of this image",
    )  # fmt: skip
    for name, flags in (("iscrowd", table.crowd & ~table.ignored), ("ignore", table.ignored)):
        findings += summarize(
            "note",
            (),
            count=int(flags.sum()),
            text=f"{{count}} boxes have `{name}` set and are not trained as objects",
            fix="No action needed if intended; their pixels may still be trained as background",
        )
    return findings


def _clipped(table: BoxTable) -> list[Finding]:
    return _summarize_boxes(
        "warning", table, table.past_border & table.trained,
        text="{count} boxes extend past the image border by more than a pixel and are clipped",
        fix="Many such boxes suggest corners (x1, y1, x2, y2) instead of [x, y, width, height], or "
        "images that were resized after labelling",
    )  # fmt: skip


def _duplicates(table: BoxTable) -> list[Finding]:
    duplicates = np.zeros(len(table.corners), dtype=bool)
    groups = table.image_inds * len(table.dataset["categories"]) + table.class_inds
    order = np.flatnonzero(table.trained)
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        duplicates[group] = _find_duplicates(table.corners[group])
    return _summarize_boxes(
        "warning", table, duplicates,
        text="{count} boxes duplicate another box of their class in their image "
        f"(IoU of at least {_DUPLICATE_IOU})",
        fix="Delete them: training counts the object twice, and evaluation counts one as missed",
    )  # fmt: skip


def _find_duplicates(corners: np.ndarray) -> np.ndarray:
    """Return ``(n,)`` boolean: the box overlaps with an earlier one by the duplicate IoU."""
    duplicates = np.zeros(len(corners), dtype=bool)
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    for start in range(0, len(corners), _BLOCK):
        rows = slice(start, start + _BLOCK)
        low = np.maximum(corners[rows, None, :2], corners[None, : start + _BLOCK, :2])
        high = np.minimum(corners[rows, None, 2:], corners[None, : start + _BLOCK, 2:])
        overlap = (high - low).clip(0).prod(2)  # (rows, columns)
        union = areas[rows, None] + areas[None, : start + _BLOCK] - overlap
        earlier = np.tri(overlap.shape[0], overlap.shape[1], k=start - 1, dtype=bool)
        duplicates[rows] = ((overlap >= _DUPLICATE_IOU * union) & earlier).any(1)
    return duplicates


def _small(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    sides = table.sides * settings.scale_factors(table.image_sizes)[table.image_inds, None]
    stride = settings.mask_stride
    findings = _summarize_boxes(
        "warning", table, table.trained & (sides < stride).any(1),
        text=f"{{count}} boxes are narrower than {stride} pixels after resizing, which is less "
        "than one cell of the training masks",
        fix="Train at a larger scale, split the images into tiles, or remove these boxes",
    )  # fmt: skip
    if settings.scale_ranges:
        scales = np.sqrt(sides.prod(1))
        low, high = np.array(settings.scale_ranges, dtype=float).T
        assigned = ((low <= scales[:, None]) & (scales[:, None] <= high)).any(1)
        findings += _summarize_boxes(
            "warning", table, table.trained & ~assigned,
            text="{count} boxes are in no scale range of the config and never trained "
            f"(smallest {low.min():g}, largest {high.max():g} pixels after resizing)",
            fix="Widen `scale_ranges`, or change the scale of the images",
        )  # fmt: skip
    return findings


def _classes(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    names = [category["name"] for category in table.dataset["categories"]]
    trained = names if settings.classes is None else settings.classes
    counts = np.bincount(table.class_inds[table.trained], minlength=len(names))
    empty = [n for n, count in zip(names, counts, strict=True) if not count and n in trained]
    findings = summarize(
        "warning",
        map(quote, empty),
        count=len(empty),
        text="{count} classes have no box to train on",
        fix="Label some, or remove them from `metainfo` and `num_classes`",
    )
    if not table.trained.any():
        fix = "Check the export, or the flags `iscrowd` and `ignore`"
        findings.append(Finding("error", "There is no box to train on", fix))
    for head, count in settings.num_classes.items():
        if count != len(trained):
            shown = quote_some(trained)
            text = f"`num_classes` of `{head}` is {count}, but the classes are {shown}"
            fix = f"Set num_classes={len(trained)} in the head"
            findings.append(Finding("error", text, fix))
    return findings


def _images(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    images = table.dataset["images"]
    counts = np.bincount(table.image_inds[table.trained], minlength=len(images))
    empty = int((counts == 0).sum())
    files = defaultdict(list)
    for image in images:
        files[image["file_name"]].append(image["id"])
    repeated = [(name, ids) for name, ids in files.items() if len(ids) > 1]
    findings = summarize(
        "warning",
        (f"{quote(name)} by the images {quote_some(ids)}" for name, ids in repeated),
        count=len(repeated),
        text="{count} files are named by several images",
        fix="Merge these images: the boxes of one are background in the other",
    )
    fix = (
        "They train as background; filter_cfg=dict(filter_empty_gt=True) leaves out those without "
        "any annotation"
    )
    if settings.filter_empty:
        left_out = int((np.bincount(table.image_inds, minlength=len(images)) == 0).sum())
        some = f"out {left_out} of them, which have no annotation"
        which = "them out" if left_out == empty else some
        fix = f"The config leaves {which}; filter_cfg=None trains all as background"
    return findings + summarize(
        "note",
        (),
        count=empty,
        text=f"{{count}} of {len(images)} images have no box",
        fix=fix,
    )


def _left_out(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    """Find images that ``filter_cfg`` leaves out for their size, or if it leaves none."""
    small = table.image_sizes.min(1, initial=np.inf) < settings.min_size
    empty = np.bincount(table.image_inds, minlength=len(small)) == 0
    findings = summarize(
        "warning",
        _names(table, small),
        count=int(small.sum()),
        text=f"{{count}} images are smaller than {settings.min_size} pixels and are left out",
        fix="Set `min_size` in `filter_cfg`, or filter_cfg=None, to train on them",
    )
    if len(small) and (small | (empty & settings.filter_empty)).all():
        text = "`filter_cfg` of the config leaves out every image"
        findings.append(Finding("error", text, "Set filter_cfg=None to train on all"))
    return findings


def _vanishing(table: BoxTable, settings: TrainingSettings) -> list[Finding]:
    """Find images that are so elongated that OpenCV cannot resize them."""
    sides = table.image_sizes * settings.scale_factors(table.image_sizes)[:, None]
    lost = (sides < 0.5).any(1)
    return summarize(
        "error",
        _names(table, lost),
        count=int(lost.sum()),
        text="{count} images are so elongated that a side vanishes when they are resized",
        fix="Cut them into tiles, or remove them",
    )


def _names(table: BoxTable, selected: np.ndarray) -> Iterator[str]:
    for index in np.flatnonzero(selected):
        image = table.dataset["images"][index]
        yield f"{quote(image['file_name'])}: {image['width']} x {image['height']}"
