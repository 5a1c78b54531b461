"""Find what would hurt later, before a training on the data set starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdet_discobox.utils.types import Json

from .checks import (
    BoxTable,
    Finding,
    Level,
    Suggestions,
    TrainingSettings,
    box_findings,
    image_findings,
    suggest,
)
from .coco_validation import find_problems, load_coco_json

_LEVELS: tuple[Level, ...] = ("error", "warning", "note")
_SHOWN = 20


@dataclass(frozen=True)
class DatasetReport:
    """What :func:`check_dataset` found.

    Attributes:
        name: the json.
        counts: images, boxes and classes.
        findings: errors first, then warnings, then notes.
        suggestions: settings that fit the data; None if the json has errors of its own.
    """

    name: str
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    suggestions: Suggestions | None

    @property
    def stops_training(self) -> bool:
        """Whether a training would stop, or learn from wrong boxes."""
        return any(finding.level == "error" for finding in self.findings)

    def as_json(self) -> Json:
        """Everything as json."""
        return dict(asdict(self), stops_training=self.stops_training)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        parts = [f"{self.name}: {counts}", *map(str, self.findings[:_SHOWN])]
        if len(self.findings) > _SHOWN:
            parts.append(f"... and {len(self.findings) - _SHOWN} more findings")
        if not self.findings:
            parts.append("Nothing found.")
        if self.suggestions is not None:
            parts.append(f"Settings for this data:\n\n{self.suggestions}")
        return "\n\n".join(parts)


def check_dataset(
    ann_file: str | Path,
    image_dir: str | Path,
    *,
    settings: TrainingSettings | None = None,
    progress: Iterable[object] | None = None,
) -> DatasetReport:
    """Check a COCO json and its pictures against a training from boxes.

    Args:
        ann_file: the json.
        image_dir: folder that its ``file_name`` are relative to.
        settings: of the training; by default those of ``configs/discobox/solov2_r50.py``.
        progress: iterated once for each picture, for a progress bar.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the file is no json.
    """
    if not Path(image_dir).is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures at '{image_dir}', but got none.")
    settings = settings or TrainingSettings()
    dataset = load_coco_json(ann_file)
    if problems := find_problems(dataset, classes=settings.classes):
        findings = [Finding("error", p.found, p.mend, examples=(p.where,)) for p in problems]
        return DatasetReport(str(ann_file), dict(problems=len(problems)), tuple(findings), None)
    table, left_out = _boxes_of_classes(dataset, settings)
    findings = [
        *left_out,
        *box_findings(table, settings),
        *image_findings(dataset["images"], image_dir, progress=progress),
    ]
    counts = dict(
        images=len(dataset["images"]),
        boxes=len(dataset["annotations"]),
        classes=len(dataset["categories"]),
    )
    ordered = sorted(findings, key=lambda finding: _LEVELS.index(finding.level))
    return DatasetReport(str(ann_file), counts, tuple(ordered), suggest(table, settings))


def _boxes_of_classes(dataset: Json, settings: TrainingSettings) -> tuple[BoxTable, list[Finding]]:
    """Keep the boxes of the classes to train, and say how many others there are."""
    if settings.classes is None:
        return BoxTable(dataset), []
    wanted = {c["id"] for c in dataset["categories"] if c["name"] in settings.classes}
    kept = [a for a in dataset["annotations"] if a["category_id"] in wanted]
    others = len(dataset["annotations"]) - len(kept)
    text = f"{others} boxes belong to classes that the config does not train"
    mend = "Nothing to do if that is meant"
    notes = [Finding("note", text, mend, count=others)] if others else []
    return BoxTable({**dataset, "annotations": kept}), notes
