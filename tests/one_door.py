"""Read a COCO json by every part of the package that reads one, for the tests that compare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import DATASETS, METRICS

from dataset_checks import TrainingSettings, check_dataset
from mmdet_discobox.annotation_files.box_formats import read_boxes

WIDTH, HEIGHT = 48, 32
CLASSES = ("cat", "dog")


def coco(**fields: Any) -> Any:
    """Two images with two boxes each; ``fields`` are those of all annotations."""
    images = [dict(id=i, file_name=f"{i}.png", width=WIDTH, height=HEIGHT) for i in (1, 2)]
    boxes = [[4, 6, 20, 10], [10, 4, 30, 20], [2, 2, 12, 16], [20, 8, 16, 16]]
    annotations = [
        dict(dict(id=i, image_id=1 + i // 3, category_id=(7, 3)[i % 2], bbox=box), **fields)
        for i, box in enumerate(boxes, 1)
    ]
    categories = [dict(id=7, name="cat"), dict(id=3, name="dog")]
    return dict(images=images, annotations=annotations, categories=categories)


def write(root: Path, content: Any) -> Path:
    """Write images once, and a json."""
    folder = root / "images"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        for name in ("1.png", "2.png"):
            cv2.imwrite(str(folder / name), pixels)
    path = root / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def readers(
    root: Path, content: Any, *, classes: Any = CLASSES, pipeline: Any = ()
) -> dict[str, Any]:
    """Return what the check, the data set, the labeller and the metric make of a json.

    Each is a function without arguments, which raises if the reader refuses the json.
    """
    path = write(root, content)
    settings = TrainingSettings(image_scale=None, scale_ranges=None, classes=classes)
    data = dict(
        type="CocoBoxDataset", ann_file=str(path), data_prefix=dict(img=str(root / "images")),
        metainfo=dict(classes=classes), pipeline=[*pipeline], serialize_data=False,
    )  # fmt: skip

    def check() -> Any:
        report = check_dataset(path, root / "images", settings=settings)
        if report.stops_training:
            raise ValueError(str(report))
        return report

    return dict(
        check=check,
        data_set=lambda: DATASETS.build(data),
        labeller=lambda: read_boxes(path, root / "images"),
        metric=lambda: METRICS.build(dict(type="CocoBoxMetric", ann_file=str(path))),
    )


def average_precision(metric: Any, dataset: Any) -> float:
    """AP of predictions that are the boxes."""
    metric.dataset_meta = dict(classes=CLASSES)
    for info in dataset:
        boxes = torch.tensor([i["bbox"] for i in info["instances"]], dtype=torch.float32)
        labels = torch.tensor([i["bbox_label"] for i in info["instances"]])
        found = dict(bboxes=boxes.view(-1, 4), labels=labels, scores=torch.ones(len(labels)))
        sample = dict(img_id=info["img_id"], ori_shape=(HEIGHT, WIDTH), pred_instances=found)
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))["coco/bbox_mAP"]
