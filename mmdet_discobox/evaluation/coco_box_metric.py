"""COCO's AP on annotations without masks."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmdet_discobox.annotation_files.coco_reading import index_coco, read_coco
from mmdet_discobox.annotation_files.coco_values import is_set, quote, quote_some
from mmdet_discobox.utils.types import Json

from .coco_masks import annotations_without_mask


@METRICS.register_module()
class CocoBoxMetric(CocoMetric):
    """A :class:`mmdet.evaluation.CocoMetric` that supports annotations without masks.

    Differences from the parent, which fails at the end of the test with
    ``KeyError: 'segmentation'``:

    1. The json is read by :func:`read_coco`, as for training: problems raise before the first
       image, and optional fields are repaired.
    2. If mask AP is requested and annotations have no mask, raises before the first image,
    3. or, with ``without_masks="boxes"``, warns and computes only the other metrics.
    4. ``iscrowd`` and ``area`` may be missing or senseless. The default of ``iscrowd`` is 0; the
       area, by which COCO groups objects into small, medium and large, is then that of the mask if
       there is one, else that of the box, see :func:`object_area`.
    5. Objects marked by ``ignore`` are crowds, as in training. pycocotools overwrites the flag and
       counts such objects as missed.
    6. Ids may be 0, strings, or numbers of any size. pycocotools treats a match with the annotation
       0 as no match, and fails on strings, mixed types and large numbers at the end of the test.
       It therefore gets consecutive numbers; the files of ``outfile_prefix`` have the json's ids.

    Args:
        ann_file: COCO json. None evaluates on the ``instances`` of the data samples, as the parent
            does: add "instances" to the ``meta_keys`` of the pipeline.
        metric: "bbox", "segm", or a list of several, as for the parent.
        without_masks: behaviour if mask AP is requested but annotations have no mask: "raise", or
            "boxes" to compute only the other metrics.
        sort_categories: whether to order the categories by their ids, as for the parent.
        backend_args: arguments of mmengine's file backend, for a json in remote storage.
        **kwargs: other arguments of the parent.

    Raises:
        FileNotFoundError: if the json is missing.
        ValueError: if the json has problems, masks are missing, or ``without_masks`` is neither of
            the two.
    """

    metrics: list[str]

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | list[str] = "bbox",
        *,
        without_masks: str = "raise",
        sort_categories: bool = False,
        backend_args: Json | None = None,
        **kwargs: Any,
    ) -> None:
        if without_masks not in ("raise", "boxes"):
            raise ValueError(
                f"Expected `without_masks` to be 'raise' or 'boxes', but got {without_masks!r}."
            )
        super().__init__(metric=metric, backend_args=backend_args, **kwargs)
        self.ann_file = ann_file
        self.without_masks = without_masks
        self._numbers: dict[Hashable, int] = {}
        self._written: set[Path] = set()
        if ann_file is not None:
            with get_local_path(ann_file, backend_args=backend_args) as path:
                dataset = read_coco(path, name=ann_file, annotated=not self.format_only)
            if sort_categories:
                dataset["categories"].sort(key=_id_order)
            self._check_masks(dataset)
            self._index(dataset)

    def process(self, data_batch: Any, data_samples: Sequence[Json]) -> None:
        """Collect the predictions of a batch, see the parent.

        Args:
            data_batch: not used.
            data_samples: as for the parent.

        Raises:
            ValueError: if an image or a class is not in the json, or without a json, if a sample
                has no ``instances`` or these have no masks.
        """
        if self.ann_file is None:
            self._check_instances(data_samples)
        else:
            self._check_classes()
            data_samples = [self._numbered(sample) for sample in data_samples]
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Compute the metrics, and write the ids of the json into the files of results."""
        metrics: dict[str, float] = super().compute_metrics(results)
        if self.ann_file is not None and self.outfile_prefix is not None:
            for path in self._written:
                self._restore_ids(path)
        return metrics

    def results2json(self, results: Sequence[Json], outfile_prefix: str) -> Json:
        """Write the files of results, see the parent; others may be of an earlier test."""
        files: Json = super().results2json(results, outfile_prefix)
        self._written = {Path(path) for path in files.values()}
        return files

    def _check_masks(self, dataset: Json) -> None:
        missing = annotations_without_mask(dataset)
        if "segm" not in self.metrics or not missing or self.format_only:
            return
        message = (
            f"{len(missing)} of the {len(dataset['annotations'])} annotations of '{self.ann_file}' "
            f"have no usable `segmentation`, the first has id {quote(missing[0]['id'])} (image "
            f"{quote(missing[0]['image_id'])})"
        )
        others = [metric for metric in self.metrics if metric != "segm"] or ["bbox"]
        if self.without_masks == "raise":
            raise ValueError(
                f"Expected annotations with masks for metric='segm', but {message}. Pass a json "
                f"with masks, metric={others!r}, or without_masks='boxes'."
            )
        print_log(
            f"{message}: mask AP is not computed, only {others}.",
            logger="current",
            level=logging.WARNING,
        )
        self.metrics = others

    def _index(self, dataset: Json) -> None:
        """Number all records from 1, which pycocotools can work with, and index them."""
        self._image_ids = [image["id"] for image in dataset["images"]]
        self._category_ids = [category["id"] for category in dataset["categories"]]
        self._numbers = _numbers(self._image_ids)
        categories = _numbers(self._category_ids)
        numbered = dict(dataset)
        numbered["images"] = [dict(i, id=self._numbers[i["id"]]) for i in dataset["images"]]
        numbered["categories"] = [dict(c, id=categories[c["id"]]) for c in dataset["categories"]]
        numbered["annotations"] = [
            dict(
                annotation,
                id=number,  # pycocotools treats 0 as "not matched"
                image_id=self._numbers[annotation["image_id"]],
                category_id=categories[annotation["category_id"]],
                iscrowd=int(is_set(annotation, "iscrowd", "ignore")),
            )
            for number, annotation in enumerate(dataset.get("annotations", []), 1)
        ]
        self._coco_api = index_coco(numbered)

    def _numbered(self, sample: Json) -> Json:
        if sample["img_id"] not in self._numbers:
            raise ValueError(
                f"Expected image {sample['img_id']!r} in '{self.ann_file}', but it is missing. "
                "Evaluate with the json of the data set."
            )
        return {**sample, "img_id": self._numbers[sample["img_id"]]}

    def _check_classes(self) -> None:
        names = [category["name"] for category in self._coco_api.dataset["categories"]]
        if missing := [name for name in (self.dataset_meta or {})["classes"] if name not in names]:
            raise ValueError(
                f"Expected all classes of the data set in '{self.ann_file}', but it lacks "
                f"{quote_some(missing)}. Set `metainfo=dict(classes=...)` of the data set."
            )

    def _check_instances(self, samples: Sequence[Json]) -> None:
        if self._coco_api is not None:
            return  # made of the instances of the first evaluation
        for sample in samples:
            if "instances" not in sample:
                raise ValueError(
                    f"Expected `instances` in the data samples for {type(self).__name__}(ann_file="
                    "None), but there are none. Add 'instances' to the `meta_keys` of "
                    "`PackDetInputs`, or set `ann_file`."
                )
            if "segm" in self.metrics and not all(each.get("mask") for each in sample["instances"]):
                raise ValueError(
                    "Expected `instances` with masks for metric='segm', but image "
                    f"{sample['img_id']!r} has some without. Evaluate a CocoDataset with masks, or "
                    "use metric='bbox'."
                )

    def _restore_ids(self, path: Path) -> None:
        results = json.loads(path.read_bytes())
        for result in results:
            result["image_id"] = self._image_ids[result["image_id"] - 1]
            result["category_id"] = self._category_ids[result["category_id"] - 1]
        path.write_text(json.dumps(results), encoding="utf-8")


def _id_order(record: Json) -> tuple[bool, int | str]:
    """Order numbers before texts, which Python does not compare."""
    return isinstance(record["id"], str), record["id"]


def _numbers(ids: Sequence[Hashable]) -> dict[Hashable, int]:
    return {value: number for number, value in enumerate(ids, 1)}
