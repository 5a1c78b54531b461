"""What a person decided about masks on the page of labels."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from mmdet_discobox.annotation_files.coco_values import is_number, quote
from mmdet_discobox.annotation_files.true_masks import PERSON, is_true_mask
from mmdet_discobox.labelling.labelled_boxes import (
    has_mask,
    has_own_mask,
    is_accepted,
    is_asked,
    without_mask,
)
from mmdet_discobox.utils.types import Json

from .page_decisions import PageDecisions


def with_accepted_masks(dataset: Json, classes: Collection[str] | None = None) -> Json:
    """Return the boxes with the accepted masks alone; crowds stay as they are.

    Args:
        dataset: a COCO json; not changed.
        classes: names of the classes whose other masks are removed; None removes those of all.
    """
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    annotations = [
        without_mask(a) if is_asked(a, names, classes) else a for a in dataset["annotations"]
    ]
    return {**dataset, "annotations": annotations}


def mark_accepted(dataset: Json, path: str | Path, classes: Collection[str] | None = None) -> Json:
    """Keep every box, and the masks that were accepted on the page of ``--report``, marked so.

    These teach the next round, ``mask_source`` is ``'person'``. So do masks accepted in an earlier
    round. All other masks are removed, also those without room on the page.

    Args:
        dataset: a COCO json with masks; not changed.
        path: the file that the page saved, see :meth:`PageDecisions.read`.
        classes: see :func:`with_accepted_masks`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such list, or an accepted id is not in the data set, or has
            no mask there or another one than the page showed.
    """
    chosen = _accepted(dataset, PageDecisions.read(path))
    annotations = [
        {**a, "mask_source": PERSON} if a["id"] in chosen else a for a in dataset["annotations"]
    ]
    return with_accepted_masks({**dataset, "annotations": annotations}, classes)


def keep_accepted(dataset: Json, path: str | Path) -> Json:
    """Keep the annotations that were accepted on the page of ``--report``, marked as a person's.

    The annotations that were not on the page stay, too: masks without room on the page, whose
    qualities are higher than all on it, and masks without a quality, which the labeller did not
    make: those of crowds, and of classes that it was not asked for. Images that lose all their
    boxes are left out: their objects would count as background.

    Args:
        dataset: a COCO json; not changed.
        path: the file that the page saved, see :meth:`PageDecisions.read`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: as :func:`mark_accepted`, or if nothing was accepted.
    """
    decisions = PageDecisions.read(path)
    accepted = _accepted(dataset, decisions)
    marked = [
        {**a, "mask_source": PERSON} if a["id"] in accepted else a for a in dataset["annotations"]
    ]
    left_out, rejected = set(decisions.left_out), set(decisions.rejected or ())
    kept = [
        a
        for a in marked
        if is_accepted(a)
        or (has_mask(a) and (a["id"] in left_out or _never_rated(a)) and a["id"] not in rejected)
    ]
    if not kept:
        raise ValueError(f"Expected accepted masks in '{path}', but nothing would be left.")
    lost = {a["image_id"] for a in marked} - {a["image_id"] for a in kept}
    images = [image for image in dataset["images"] if image["id"] not in lost]
    return {**dataset, "images": images, "annotations": kept}


def images_to_correct(dataset: Json, path: str | Path) -> Json:
    """Keep the images with a mask that was rejected on the page of ``--report``, and their boxes.

    All masks of these images stay, so that a tool shows what is next to the rejected ones, which
    have the attribute ``rejected``. Masks that a person has corrected since are not rejected.

    Args:
        dataset: a COCO json with masks; not changed.
        path: the file that the page saved.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no list ``rejected``, or an empty one; if an id is not in the
            data set, or has no mask there or another one than the page showed; or if all of these
            masks are a person's by now.
    """
    decisions = PageDecisions.read(path)
    if not decisions.rejected:
        raise ValueError(
            f"Expected a list `rejected` of ids in '{path}', as the page of --report gives it, but "
            f"got {quote(decisions.rejected)}: there is nothing to correct."
        )
    decisions.check_ids(decisions.rejected, dataset)
    decisions.check_masks(decisions.rejected, dataset)
    decisions.check_unchanged(dataset)
    accepted = {a["id"] for a in dataset["annotations"] if is_accepted(a)}
    rejected = set(decisions.rejected) - accepted
    if not rejected:
        raise ValueError(
            f"Expected masks to correct, but all {len(decisions.rejected)} that '{path}' rejects "
            "have been replaced by masks of a person. Pass the file that the newest page saved."
        )
    images = {a["image_id"] for a in dataset["annotations"] if a["id"] in rejected}
    shown = [a for a in dataset["annotations"] if a["image_id"] in images]
    return {
        **dataset,
        "images": [image for image in dataset["images"] if image["id"] in images],
        "annotations": [_with_mark(a) if a["id"] in rejected else a for a in shown],
    }


def _accepted(dataset: Json, decisions: PageDecisions) -> set[int | str]:
    """Return the accepted ids, after checking that they and their masks are in the data set."""
    decisions.check_ids([*decisions.accepted, *decisions.left_out], dataset)
    decisions.check_masks(decisions.accepted, dataset)
    decisions.check_unchanged(dataset)
    return set(decisions.accepted)


def _with_mark(annotation: Json) -> Json:
    attributes = annotation.get("attributes")
    own = attributes if isinstance(attributes, dict) else {}
    return {**annotation, "attributes": {**own, "rejected": True}}


def _never_rated(annotation: Json) -> bool:
    """Return whether the labeller did not make the mask of an annotation, so no page shows it."""
    return not is_number(annotation.get("mask_quality"))


def _is_persons(annotation: Json) -> bool:
    """Return whether a mask is a person's, also one that a tool has marked as a crowd."""
    marked = annotation.get("mask_source") == PERSON and has_mask(annotation)
    return marked or is_true_mask(annotation)


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
        persons = {a["id"]: a["segmentation"] for a in existing if _is_persons(a)}
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
