"""Checks of the masks that some objects have, for mixed supervision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.coco_records import Problem
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.annotation_files.true_masks import MACHINE, PERSON, mask_source
from mmdet_discobox.utils.types import Json

from .findings import Finding, summarize

#: classes that are listed
_LISTED = 10


def mask_findings(
    table: BoxTable, problems: Mapping[Any, Problem], *, used: bool = False
) -> list[Finding]:
    """List unusable masks, and count the objects with and without a mask of each class.

    Args:
        table: the boxes, with masks.
        problems: result of :func:`find_mask_problems`.
        used: whether the config trains on true masks.
    """
    trained = _trained(table)
    sources = Counter(mask_source(a) for a in trained)
    if not sources.keys() - {None}:
        return []
    findings = summarize(
        "warning",
        (f"{problem.where}: {problem.fault}" for problem in problems.values()),
        count=len(problems),
        text="{count} masks cannot be used; with use_masks=True these objects train as boxes",
        fix="Draw them again, or remove `segmentation` from these annotations",
    )
    true = true_masks(table, problems)
    text = f"{len(true)} of {len(trained)} objects have a true mask"
    text += f": {_classes(table, trained, true)}" if true else ""
    findings.append(Finding("note", text, _expectation(true, used)))
    findings += summarize(
        "note",
        (),
        count=sources[MACHINE],
        text="{count} masks are auto-labels that nobody accepted, and do not count as true",
        fix="Accept them on the page of `tools/autolabel.py --report`, or set "
        "mask_sources=('person', 'machine') to trust them unseen",
    )
    others = {source: n for source, n in sources.items() if source not in (None, PERSON, MACHINE)}
    findings += summarize(
        "warning",
        (f"{n} of {quote(source)}" for source, n in others.items()),
        count=sum(others.values()),
        text="{count} masks have a `mask_source` other than 'person' and 'machine', and do not "
        "count as true",
        fix="Write 'person' if a person drew or accepted them",
    )
    return findings


def true_masks(table: BoxTable, problems: Mapping[Any, Problem]) -> list[Json]:
    """Return the annotations to train on that have a usable mask of a person.

    Args:
        table: the boxes, with masks.
        problems: result of :func:`find_mask_problems`.
    """
    return [a for a in _trained(table) if mask_source(a) == PERSON and a["id"] not in problems]


def _trained(table: BoxTable) -> list[Json]:
    annotations = table.dataset["annotations"]
    return [a for a, used in zip(annotations, table.trained, strict=True) if used]


def _classes(table: BoxTable, trained: list[dict], true: list[dict]) -> str:
    """List the counts of each class, those with the most objects first."""
    totals, masks = (Counter(a["category_id"] for a in each) for each in (trained, true))
    names = {category["id"]: category["name"] for category in table.dataset["categories"]}
    listed = [f"{names[key]} {masks[key]} of {n}" for key, n in totals.most_common(_LISTED)]
    more = [f"and {len(totals) - _LISTED} more classes"] if len(totals) > _LISTED else []
    return ", ".join(listed + more)


def _expectation(true: list[dict], used: bool) -> str:
    if not true:
        return "Training uses boxes alone"
    if used:
        return "The config trains on them"
    return (
        "They are read with use_masks=True in the CocoBoxDataset; docs/mixed.md shows how to train "
        "on them"
    )
