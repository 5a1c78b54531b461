"""What a person decided about masks on the page of labels."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import chain
from pathlib import Path

from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.annotation_files.true_masks import PERSON, is_true_mask
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


def images_to_correct(dataset: Json, path: str | Path) -> Json:
    """Keep the images with a mask that was rejected on the page of ``--report``, and their boxes.

    All masks of these images stay, so that a tool shows what is next to the rejected ones, which
    have the attribute ``rejected``. Masks that a person has corrected since are not rejected.

    Args:
        dataset: a COCO json with masks; not changed.
        path: the file that the page saved.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no list ``rejected``, or an empty one, or an id that is not in
            the data set or has no mask there, or all of these masks are a person's by now.
    """
    content = _read(path)
    wanted = _known(_ids(content, "rejected", path), dataset, path)
    _check_disjoint(content, path)
    if not wanted:
        raise ValueError(f"Expected ids of rejected masks in '{path}' but got none.")
    _check_masks(wanted, dataset, path)
    accepted = {a["id"] for a in dataset["annotations"] if is_accepted(a)}
    rejected = set(wanted) - accepted
    if not rejected:
        raise ValueError(
            f"Expected masks to correct, but all {len(wanted)} that '{path}' rejects have been "
            "replaced by masks of a person. Pass the file that the newest page saved."
        )
    images = {a["image_id"] for a in dataset["annotations"] if a["id"] in rejected}
    shown = [a for a in dataset["annotations"] if a["image_id"] in images]
    return {
        **dataset,
        "images": [image for image in dataset["images"] if image["id"] in images],
        "annotations": [_with_mark(a) if a["id"] in rejected else a for a in shown],
    }


def _with_mark(annotation: Json) -> Json:
    attributes = annotation.get("attributes")
    own = attributes if isinstance(attributes, dict) else {}
    return {**annotation, "attributes": {**own, "rejected": True}}


def check_accepted_masks(dataset: Json, path: str | Path) -> None:
    """Check that what was accepted has a mask.

    Args:
        dataset: a COCO json with the accepted ids.
        path: the file that the page saved, see :func:`read_accepted`.

    Raises:
        ValueError: if there is none, as in the json of the boxes.
    """
    _check_masks(read_accepted(path)[0], dataset, path)


def _check_masks(wanted: list[int | str], dataset: Json, path: str | Path) -> None:
    masks = {a["id"] for a in dataset["annotations"] if has_mask(a)}
    if empty := [value for value in wanted if value not in masks]:
        raise ValueError(
            f"Expected the annotations of '{path}' to have a mask, but {len(empty)} of its "
            f"{len(wanted)} have none, first {quote(empty[0])}. Pass the labelled json that the "
            "page shows, OUT_JSON, instead of the json of the boxes."
        )


def _check_disjoint(content: Json, path: str | Path) -> None:
    lists = (_ids({name: [], **content}, name, path) for name in ("accepted", "rejected"))
    if both := set.intersection(*map(set, lists)):
        raise ValueError(
            f"Expected '{path}' to accept or reject a mask, but it does both with {len(both)}, "
            f"first {quote(next(iter(both)))}. Save the file of the page again."
        )


def _check_ids(dataset: Json, path: str | Path) -> list[int | str]:
    """Return the ids of :func:`read_accepted`, which must be of the data set."""
    return _known([*chain(*read_accepted(path))], dataset, path)


def _known(wanted: list[int | str], dataset: Json, path: str | Path) -> list[int | str]:
    """Return ids, which must be of the data set."""
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
        ValueError: if the file has no such lists, or an id is also rejected.
    """
    content = _read(path)
    _check_disjoint(content, path)
    return _ids(content, "accepted", path), _ids({"left_out": [], **content}, "left_out", path)


def read_title(path: str | Path) -> str | None:
    """Return the title of the page that saved the decisions, None if the file has none."""
    title = _read(path).get("labels")
    return title if isinstance(title, str) else None


def _read(path: str | Path) -> Json:
    try:
        content = json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected the decisions of the page at '{path}', but there is no such file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected '{path}' to be a json, but: {error}.") from error
    return content if isinstance(content, dict) else dict(accepted=content)


def _ids(content: Json, name: str, path: str | Path) -> list[int | str]:
    ids = content.get(name)
    if not isinstance(ids, list) or not all(type(value) in (int, str) for value in ids):
        raise ValueError(
            f"Expected '{path}' to have a list `{name}` of ids, as the page of --report gives it, "
            f"but got {quote(ids)}."
        )
    return ids


def check_loses_no_masks(
    dataset: Json, out: Path, replaced: Collection[int | str] = frozenset()
) -> None:
    """Check that a person's masks in an existing output are not overwritten.

    Args:
        dataset: the COCO json that is about to be labelled or written.
        out: the output. A file that is no COCO json is replaced.
        replaced: ids of the annotations whose mask a person has just corrected.

    Raises:
        ValueError: if it has masks of a person that are no such masks in the data set.
    """
    try:
        existing = json.loads(out.read_bytes())["annotations"]
        persons = {a["id"]: a["segmentation"] for a in existing if is_true_mask(a)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return
    kept = {
        a["id"]: a["segmentation"]
        for a in dataset["annotations"]
        if is_true_mask(a) or has_own_mask(a)
    }
    if lost := [
        value
        for value, mask in persons.items()
        if value not in replaced and kept.get(value) != mask
    ]:
        raise ValueError(
            f"Expected an OUT_JSON without masks of a person, but '{out}' has {len(lost)} that "
            f"would be lost, first of annotation {quote(lost[0])}. Pass '{out}' as BOXES to keep "
            "them, and name another OUT_JSON."
        )
