"""Measures of a run of the study."""

from __future__ import annotations

import math
from pathlib import Path

from mmdet_discobox.evaluation import match_masks
from mmdet_discobox.utils.types import Json
from study_files import read_complete_json, read_json

#: measure -> its title, in the order of the tables
TITLES = dict(
    ap="AP",
    ap50="AP50",
    ap75="AP75",
    box_ap="box AP",
    matched_iou="IoU of matched",
    matched_share="matched",
)
COCO = dict(ap="segm_mAP", ap50="segm_mAP_50", ap75="segm_mAP_75", box_ap="bbox_mAP")
PREDICTIONS = "predictions"


def tested(folder: Path) -> tuple[Json, list[Json]] | None:
    """Return metrics and predictions of the last complete `mim test` of a run, None without one."""
    paths = sorted(folder.glob("test/*/*.json"), key=lambda path: path.stat().st_mtime)
    metrics = [found for found in map(read_complete_json, paths) if found is not None]
    predictions = read_complete_json(folder / f"{PREDICTIONS}.segm.json")
    return (metrics[-1], predictions) if metrics and predictions is not None else None


def measures(folder: Path, truth: Path, *, boxes: bool) -> dict[str, float | None]:
    """Measure a tested run.

    Args:
        folder: folder of the run, with metrics and predictions of `mim test`.
        truth: COCO json with masks.
        boxes: whether the network predicts boxes.

    Returns:
        Shares of 1 by the names in `TITLES`, None for measures without a value.

    Raises:
        FileNotFoundError: if the run has not been tested.
    """
    found = tested(folder)
    if found is None:
        raise FileNotFoundError(
            f"Expected metrics at {folder}/test/*/*.json and {PREDICTIONS}.segm.json but they are "
            "absent or incomplete: test the run first."
        )
    coco, predictions = found
    # without predictions, mmdet's metric returns no figures
    figures = {name: coco[f"coco/{key}"] if predictions else 0.0 for name, key in COCO.items()}
    matched = match_masks(read_json(truth), predictions)
    figures.update(matched_iou=matched.mean_iou, matched_share=matched.share)
    known = {name: value for name, value in figures.items() if not math.isnan(value)}
    return {name: known.get(name) for name in TITLES} | ({} if boxes else {"box_ap": None})
