"""What a person decided about masks: accepted on the page of labels, or corrected elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from mmdet_discobox.annotation_files.annotated_masks import sensible_mask
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.annotation_files.true_masks import PERSON, find_mask_problems
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .labelled_boxes import has_mask, has_own_mask, is_accepted, without_mask


def with_accepted_masks(dataset: Json) -> Json:
    """Return the boxes with the accepted masks alone; crowds stay as they are."""
    annotations = [
        a if is_accepted(a) or has_own_mask(a) else without_mask(a) for a in dataset["annotations"]
    ]
    return {**dataset, "annotations": annotations}


def mark_accepted(dataset: Json, path: str | Path) -> Json:
    """Keep every box, and the masks that were accepted on the page of ``--report``, marked so.

    These teach the next round, ``mask_source`` is ``'person'``. So do masks accepted in an earlier
    round. All other masks are removed, also those without room on the page.

    Args:
        dataset: a COCO json with masks; not changed.
        path: the file that the page saved, see :func:`read_accepted`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such list, or an id that is not in the data set.
    """
    _check_ids(dataset, path)
    chosen = set(read_accepted(path)[0])
    annotations = [
        {**a, "mask_source": PERSON} if a["id"] in chosen else a for a in dataset["annotations"]
    ]
    return with_accepted_masks({**dataset, "annotations": annotations})


def merge_corrected(dataset: Json, corrected: Json, *, name: str) -> Json:
    """Take over the masks that a person drew or corrected in another tool.

    Masks merge by the ids of the annotations. A mask equal to that of the data set was not
    corrected, and changes nothing.

    Args:
        dataset: a COCO json; not changed.
        corrected: the COCO export of the tool; its annotations without a mask are left out.
        name: name of its file in errors.

    Raises:
        ValueError: if an id is not in the data set, or a mask does not fit its box there, as if the
            tool had numbered the annotations anew.
    """
    known = {a["id"]: a for a in dataset["annotations"]}
    drawn = {a["id"]: a["segmentation"] for a in corrected["annotations"] if has_mask(a)}
    if unknown := [value for value in drawn if value not in known]:
        raise ValueError(
            f"Expected the ids of the annotations of '{name}' to be those of the boxes, but "
            f"{len(unknown)} of {len(drawn)} are not among theirs, first {quote(unknown[0])}."
        )
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in dataset["images"]}
    changed = {
        value: mask
        for value, mask in drawn.items()
        if not _same_mask(known[value], mask, sizes[known[value]["image_id"]])
    }
    annotations = [
        {**without_mask(a), "segmentation": changed[a["id"]], "mask_source": PERSON}
        if a["id"] in changed
        else a
        for a in dataset["annotations"]
    ]
    merged = {**dataset, "annotations": annotations}
    problems = [p for value, p in find_mask_problems(merged).items() if value in changed]
    if problems:
        shown = "".join(f"\n- {problem}" for problem in problems[:5])
        raise ValueError(
            f"Expected the masks of '{name}' to fit the boxes of the same ids, but {len(problems)} "
            f"of {len(changed)} do not. If they are many, the tool has numbered the annotations "
            f"anew: export with the ids.{shown}"
        )
    return {**dataset, "annotations": [_with_area(a, sizes, changed) for a in annotations]}


def _with_area(annotation: Json, sizes: Json, changed: Json) -> Json:
    """Return an annotation with the pixels of its mask as area, if it is a changed one."""
    if annotation["id"] not in changed:
        return annotation
    mask = to_rle(annotation["segmentation"], **sizes[annotation["image_id"]])
    return {**annotation, "area": float(coco_mask.area(mask))}


def ignored_changes(dataset: Json, corrected: Json) -> list[str]:
    """List what a tool changed or deleted: :func:`merge_corrected` takes new masks alone.

    A box that is the tight one of the annotation's mask is no change: tools compute it anew. Images
    that are not in the export were not opened, and nothing of them was deleted.

    Args:
        dataset: a COCO json.
        corrected: the COCO export of the tool.

    Returns:
        A line for each annotation that is new or has another class or box, then for each that is
        missing or has lost its mask.
    """
    known = {a["id"]: a for a in dataset["annotations"]}
    names, new_names = (
        {c["id"]: c["name"] for c in each["categories"]} for each in (dataset, corrected)
    )
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in corrected["images"]}
    lines = []
    for a in corrected["annotations"]:
        where, old = f"annotation {quote(a['id'])}", known.get(a["id"])
        if old is None:
            lines.append(f"{where} is new")
            continue
        before, after = names[old["category_id"]], new_names[a["category_id"]]
        if before != after:
            lines.append(f"{where} is of {quote(after)} instead of {quote(before)}")
        if not (_near(a["bbox"], old["bbox"]) or _is_tight(a, sizes[a["image_id"]])):
            lines.append(f"{where} has the box {quote(a['bbox'])} instead of {quote(old['bbox'])}")
    return lines + _deletions(dataset, corrected)


def _deletions(dataset: Json, corrected: Json) -> list[str]:
    """List the annotations of the exported images that are missing, or without their mask."""
    images = {image["id"] for image in corrected["images"]}
    masks = {a["id"]: has_mask(a) for a in corrected["annotations"]}
    lines = []
    for a in dataset["annotations"]:
        if a["image_id"] in images and a["id"] not in masks:
            lines.append(f"annotation {quote(a['id'])} is missing")
        elif has_mask(a) and not masks.get(a["id"], True):
            lines.append(f"annotation {quote(a['id'])} has lost its mask")
    return lines


def _near(box: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two boxes differ by a pixel at most, as by rounding."""
    corners = ((b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in (box, other))
    return all(abs(one - two) <= 1 for one, two in zip(*corners, strict=True))


def _is_tight(annotation: Json, size: dict[str, int]) -> bool:
    """Return whether the box of an annotation is that of its mask."""
    if not has_mask(annotation):
        return False
    mask = to_rle(annotation["segmentation"], **size)
    return _near(annotation["bbox"], coco_mask.toBbox(mask).tolist())


def _same_mask(annotation: Json, mask: Any, size: dict[str, int]) -> bool:
    """Return whether a mask has the pixels of an annotation's, however a tool encoded them."""
    own = annotation.get("segmentation")
    if mask == own:
        return True
    mask = sensible_mask(mask, **size)
    if mask is None or not has_mask(annotation):
        return False
    return bool(coco_mask.iou([to_rle(own, **size)], [to_rle(mask, **size)], [0])[0, 0] == 1)


def keep_accepted(dataset: Json, path: str | Path) -> Json:
    """Keep the annotations that were accepted on the page of ``--report``.

    The annotations that were not on the page stay, too: masks without room on the page, whose
    qualities are higher than all on it, and crowds that kept their own mask.

    Args:
        dataset: a COCO json; not changed.
        path: the file that the page saved, see :func:`read_accepted`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such list, or an id that is not in the data set.
    """
    wanted = _check_ids(dataset, path)
    chosen = set(wanted)
    annotations = [
        a for a in dataset["annotations"] if a["id"] in chosen or _never_rated(a) or is_accepted(a)
    ]
    return {**dataset, "annotations": annotations}


def check_accepted_masks(dataset: Json, path: str | Path) -> None:
    """Check that what was accepted has a mask.

    Args:
        dataset: a COCO json with the accepted ids.
        path: the file that the page saved, see :func:`read_accepted`.

    Raises:
        ValueError: if there is none, as in the json of the boxes.
    """
    accepted = read_accepted(path)[0]
    masks = {a["id"] for a in dataset["annotations"] if has_mask(a)}
    if empty := [value for value in accepted if value not in masks]:
        raise ValueError(
            f"Expected the annotations of '{path}' to have a mask, but {len(empty)} of its "
            f"{len(accepted)} have none, first {quote(empty[0])}. Pass the labelled json that the "
            "page shows, OUT_JSON, instead of the json of the boxes."
        )


def _check_ids(dataset: Json, path: str | Path) -> list[int | str]:
    """Return the ids of :func:`read_accepted`, which must be of the data set."""
    wanted = [*chain(*read_accepted(path))]
    known = {annotation["id"] for annotation in dataset["annotations"]}
    if unknown := [value for value in wanted if value not in known]:
        raise ValueError(
            f"Expected '{path}' to be of these boxes, but {len(unknown)} of its {len(wanted)} ids "
            f"are not among theirs, first {quote(unknown[0])}."
        )
    return wanted


def _never_rated(annotation: Json) -> bool:
    """Return whether an annotation kept its own mask, so that no page shows it."""
    return has_own_mask(annotation) and "mask_quality" not in annotation


def read_accepted(path: str | Path) -> tuple[list[int | str], list[int | str]]:
    """Read the file that the page saved: a json with lists of ids, or the list ``accepted`` alone.

    Returns:
        ``accepted``, and ``left_out``, the ids without room on the page.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such lists.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected the accepted ids at '{path}', but there is no such file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected '{path}' to be a json, but: {error}.") from error
    if not isinstance(content, dict):
        content = dict(accepted=content)
    return _ids(content, "accepted", path), _ids({"left_out": [], **content}, "left_out", path)


def _ids(content: Json, name: str, path: str | Path) -> list[int | str]:
    ids = content.get(name)
    if not isinstance(ids, list) or not all(type(value) in (int, str) for value in ids):
        raise ValueError(
            f"Expected '{path}' to have a list `{name}` of ids, as the page of --report gives it, "
            f"but got {quote(ids)}."
        )
    return ids
