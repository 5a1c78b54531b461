"""Check the data set that a training is validated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from mmdet_discobox.annotation_files.coco_repairs import repair
from mmdet_discobox.annotation_files.coco_validation import load_coco_json
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.utils.types import Json

from .dataset_check import DatasetReport, find_training_problems, make_report, repair_finding
from .findings import Finding, summarize
from .image_findings import image_findings


def check_validation(
    ann_file: str | Path,
    image_dir: str | Path,
    *,
    classes: Collection[str] | None = None,
    trained: Collection[Path] = (),
    on_image: Callable[[], object] | None = None,
) -> DatasetReport:
    """Check a COCO json and its images as :func:`check_dataset` does, but not its use to train.

    Args:
        ann_file: the json.
        image_dir: folder that the ``file_name`` of an image is relative to.
        classes: names of the classes of the training; None does not compare them.
        trained: resolved files of the images of the training, for a warning if they are the same.
        on_image: called after each image, for a progress bar.

    Raises:
        FileNotFoundError: if the json or the folder is missing.
        ValueError: if the json cannot be parsed.
    """
    if not Path(image_dir).is_dir():
        raise FileNotFoundError(f"Expected a folder of images at '{image_dir}', but found none.")
    dataset = load_coco_json(ann_file)
    if problems := find_training_problems(dataset, image_dir=image_dir):
        return DatasetReport.of_problems(ann_file, problems)
    dataset, repairs = repair(dataset)
    findings = [
        *map(repair_finding, repairs),
        *_other_classes(dataset, classes),
        *_trained_images(dataset, Path(image_dir), trained),
        *image_findings(dataset["images"], image_dir, on_image=on_image),
    ]
    return make_report(ann_file, dataset, findings)


def _other_classes(dataset: Json, classes: Collection[str] | None) -> list[Finding]:
    """Note the boxes of classes that are not trained, which the evaluation leaves out."""
    if classes is None:
        return []
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    labels = [names[annotation["category_id"]] for annotation in dataset["annotations"]]
    others = Counter(label for label in labels if label not in classes)
    return summarize(
        "note",
        (f"{quote(name)}: {count} boxes" for name, count in others.most_common()),
        count=len(others),
        text=f"{others.total()} of {len(labels)} boxes are not evaluated: they belong to {{count}} "
        "classes that are not in the training",
        fix="No action needed if intended",
    )


def _trained_images(dataset: Json, image_dir: Path, trained: Collection[Path]) -> list[Finding]:
    """Find images that are trained on as well, on which figures are too good."""
    names = [image["file_name"] for image in dataset["images"]]
    shared = [name for name in names if (image_dir / name).resolve() in trained]
    return summarize(
        "warning",
        map(quote, shared),
        count=len(shared),
        text=f"{{count}} of {len(names)} images are trained on as well",
        fix="Validate on other images: on these, the network is better than on new ones",
    )
