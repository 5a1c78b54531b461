"""Check a data set before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.coco_records import Problem
from mmdet_discobox.annotation_files.coco_repairs import Repair, repair
from mmdet_discobox.annotation_files.coco_validation import find_problems, load_coco_json
from mmdet_discobox.annotation_files.true_masks import find_mask_problems
from mmdet_discobox.utils.types import Json

from .box_findings import box_findings
from .findings import Finding, Level
from .image_findings import image_findings
from .mask_findings import mask_findings, true_masks
from .suggestions import Suggestions, suggest
from .training_data import TrainingData
from .training_settings import TrainingSettings

_LEVELS: tuple[Level, ...] = ("error", "warning", "note")
_SHOWN = 20


@dataclass(frozen=True)
class DatasetReport:
    """Result of :func:`check_dataset`.

    Attributes:
        name: path of the json.
        counts: number of images, boxes and classes.
        findings: errors first, then warnings, then notes.
        suggestions: settings derived from the data; None if the json has problems.
        true_masks: number of objects to train on that have a usable mask of a person.
    """

    name: str
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    suggestions: Suggestions | None
    true_masks: int = 0

    @property
    def stops_training(self) -> bool:
        """Whether training would stop or train on wrong boxes."""
        return any(finding.level == "error" for finding in self.findings)

    @classmethod
    def of_problems(cls, name: str | Path, problems: Sequence[Problem]) -> DatasetReport:
        """Report the problems of a json that cannot be used."""
        findings = [Finding("error", f"{p.where}: {p.fault}", p.fix) for p in problems]
        return cls(str(name), dict(problems=len(problems)), tuple(findings), None)

    def as_json(self) -> Json:
        """Return the report as json."""
        return dict(asdict(self), stops_training=self.stops_training)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        parts = [f"{self.name}: {counts}", *map(str, self.findings[:_SHOWN])]
        if len(self.findings) > _SHOWN:
            parts.append(f"... and {len(self.findings) - _SHOWN} more findings")
        if not self.findings:
            parts.append("No problem found.")
        if self.suggestions is not None:
            parts.append(f"Settings to copy into the config:\n\n{self.suggestions}")
        return "\n\n".join(parts)


def check_dataset(
    ann_file: str | Path,
    image_dir: str | Path,
    *,
    settings: TrainingSettings | None = None,
    config: Mapping[str, Any] | None = None,
    on_image: Callable[[], object] | None = None,
) -> DatasetReport:
    """Check a COCO json and its images for training on boxes.

    Args:
        ann_file: the json.
        image_dir: folder that the ``file_name`` of an image is relative to.
        settings: settings of the training; by default those of the config, or without one, of
            ``configs/discobox/solov2_r50.py``.
        config: config of the training, whose data set is built and asked.
        on_image: called after each image, for a progress bar.

    Raises:
        FileNotFoundError: if the json or the folder is missing.
        ValueError: if the json cannot be parsed, or the config is none of a training on it.
    """
    if not Path(image_dir).is_dir():
        raise FileNotFoundError(f"Expected a folder of images at '{image_dir}', but found none.")
    data = None if config is None else TrainingData(config, ann_file, image_dir)
    if settings is None:
        settings = TrainingSettings() if config is None else TrainingSettings.from_config(config)
    if data is not None:
        settings = data.ask_classes(settings)
    dataset = load_coco_json(ann_file)
    problems = find_training_problems(dataset, classes=settings.classes, image_dir=image_dir)
    if problems:
        return DatasetReport.of_problems(ann_file, problems)
    dataset, repairs = repair(dataset)
    table, notes = _select_classes(dataset, settings)
    unusable = find_mask_problems(table.dataset)
    use_masks = data is not None and bool(data.leaf.get("use_masks"))
    findings = [
        *notes,
        *map(repair_finding, repairs),
        *box_findings(table, settings),
        *mask_findings(table, unusable, used=use_masks),
        *image_findings(dataset["images"], image_dir, on_image=on_image),
    ]
    if data is not None and not any(finding.level == "error" for finding in findings):
        settings, failures = data.ask_length(settings)
        findings += failures
    report = make_report(ann_file, dataset, findings, suggest(table, settings))
    return replace(report, true_masks=len(true_masks(table, unusable)))


def find_training_problems(dataset: Any, **expected: Any) -> list[Problem]:
    """Find faults of a json as :func:`find_problems` does, or that it has no image or class.

    Args:
        dataset: parsed json.
        **expected: keyword arguments of :func:`find_problems`.
    """
    empty = [
        Problem(f"`{section}`", f"is empty: there are no {section}", fix)
        for section, fix in (
            ("images", "Check the export: a training reads the images that are listed here"),
            ("categories", "List the classes of the boxes here, each with `id` and `name`"),
        )
        if isinstance(dataset, dict) and dataset.get(section) == []
    ]
    return empty or find_problems(dataset, **expected)


def make_report(
    name: str | Path,
    dataset: Json,
    findings: Sequence[Finding],
    suggestions: Suggestions | None = None,
) -> DatasetReport:
    """Report the findings of a json, errors first."""
    counts = dict(
        images=len(dataset["images"]),
        boxes=len(dataset["annotations"]),
        classes=len(dataset["categories"]),
    )
    ordered = sorted(findings, key=lambda finding: _LEVELS.index(finding.level))
    return DatasetReport(str(name), counts, tuple(ordered), suggestions)


def repair_finding(repaired: Repair) -> Finding:
    """Note a repair of the json."""
    return Finding("note", repaired.text, repaired.fix, repaired.count, repaired.examples)


def _select_classes(dataset: Json, settings: TrainingSettings) -> tuple[BoxTable, list[Finding]]:
    """Select the boxes of the classes to train; note the number of the others."""
    if settings.classes is None:
        return BoxTable(dataset), []
    trained = {c["id"] for c in dataset["categories"] if c["name"] in settings.classes}
    kept = [a for a in dataset["annotations"] if a["category_id"] in trained]
    others = len(dataset["annotations"]) - len(kept)
    text = f"{others} boxes belong to classes that the config does not train"
    notes = [Finding("note", text, "No action needed if intended", count=others)] if others else []
    return BoxTable({**dataset, "annotations": kept}), notes
