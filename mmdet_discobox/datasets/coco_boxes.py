"""Data set of a COCO json with boxes, validated before the first training step."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.coco_reading import index_coco, read_coco
from mmdet_discobox.annotation_files.coco_repairs import trim_masks
from mmdet_discobox.annotation_files.missing_images import missing_image_hint
from mmdet_discobox.annotation_files.true_masks import (
    MIN_BOX_IOU,
    PERSON,
    find_mask_problems,
    is_true_mask,
)
from mmdet_discobox.utils.types import Json


@DATASETS.register_module()
class CocoBoxDataset(CocoDataset):
    """A :class:`mmdet.datasets.CocoDataset` for box supervision.

    Differences to its parent:

    1. ``segmentation`` and ``area`` are optional and, without ``use_masks``, never read: samples
       contain neither masks nor the path of a segmentation map. The constructor refuses a pipeline
       with ``LoadAnnotations(with_mask=True)``.
    2. The constructor validates the json, see :mod:`.coco_validation`. One error lists the faults,
       each with its annotation, its image and the value found. Optional fields are repaired, see
       :mod:`.coco_repairs`.
    3. ``metainfo['classes']`` must be classes of the json, in its order. The parent silently
       ignores unknown names and numbers the others by the json.
    4. The constructor checks that the image files exist.
    5. The number of dropped boxes (thinner than a pixel, or outside their image) is logged. The
       parent drops the same boxes silently.
    6. The number of images that ``filter_cfg`` leaves out is logged, with the reasons.
    7. Without a box or an image to train on, the constructor raises. The parent trains on nothing.

    Crowd and ``ignore`` annotations, images without objects, boxes of one pixel and boxes past the
    image border are treated as in the parent.

    With ``use_masks``, an annotation with a non-empty ``segmentation`` (polygons or RLE) of a
    trusted source is an object with a true mask, any other is a box, see :func:`.mask_source`. The
    pipeline loads the masks by :class:`.LoadTrueMasks`, and the model needs ``true_masks=True``.

    Args:
        *args: arguments of the parent.
        use_masks: whether to read the masks that some annotations have.
        mask_sources: values of ``mask_source`` that count as truth; add ``'machine'`` to trust
            auto-labels that nobody accepted.
        min_box_iou: smallest IoU of the box of a mask with the annotated box, in [0, 1].
        bad_masks: ``'drop'`` logs the unusable masks once and trains on their boxes, ``'error'``
            stops before the training; see :func:`.find_mask_problems`.
        check_images: whether to check that the image files exist. Remote files are not checked.
        allow_no_boxes: whether a training may do without boxes: for a data set of images without
            objects that is concatenated with others.
        **kwargs: arguments of the parent.

    Raises:
        ValueError: if ``data_prefix`` has no ``img``, the json is not a COCO json, its boxes or
            classes cannot be used, there is nothing to train on, the pipeline loads masks that not
            every object has, masks cannot be used and ``bad_masks`` is ``'error'``,
            ``bad_masks`` is another value, ``mask_sources`` is a single string, or
            ``min_box_iou`` is outside [0, 1].
        FileNotFoundError: if the json or images are missing.
    """

    def __init__(
        self,
        *args: Any,
        check_images: bool = True,
        allow_no_boxes: bool = False,
        use_masks: bool = False,
        mask_sources: Sequence[str] = (PERSON,),
        min_box_iou: float = MIN_BOX_IOU,
        bad_masks: Literal["drop", "error"] = "drop",
        **kwargs: Any,
    ) -> None:
        if bad_masks not in ("drop", "error"):
            raise ValueError(f"Expected `bad_masks` to be 'drop' or 'error' but got {bad_masks!r}.")
        if isinstance(mask_sources, str):
            raise ValueError(
                f"Expected `mask_sources` to be a sequence but got {mask_sources!r}. One source is "
                f"written ({mask_sources!r},), with the comma."
            )
        if not isinstance(min_box_iou, float | int) or not 0 <= min_box_iou <= 1:
            raise ValueError(f"Expected `min_box_iou` to be in [0, 1] but got {min_box_iou!r}.")
        self.check_images = check_images
        self.allow_no_boxes = allow_no_boxes
        self.use_masks = use_masks
        self.mask_sources = tuple(mask_sources)
        self.min_box_iou = min_box_iou
        self.bad_masks = bad_masks
        super().__init__(*args, **kwargs)
        self._check_pipeline()

    def COCOAPI(self, local_path: str) -> COCO:  # noqa: N802 - the parent's name
        """Read, validate and index the json, or the local copy of a remote one."""
        if "img" not in self.data_prefix:  # mmengine's default has none
            raise ValueError(
                "Expected `data_prefix` to name the folder of the images as `img`, but got "
                f"{self.data_prefix!r}. Set data_prefix=dict(img='images/'), relative to "
                "`data_root`, or img='' if the `file_name` of the json has the folder."
            )
        dataset = read_coco(
            local_path,
            name=self.ann_file,
            classes=self.metainfo["classes"] or (),  # None would skip their validation
            # without a folder, names are absolute, or relative to the working directory
            image_dir=(self.data_prefix["img"] or None) if self._has_local_images() else None,
            annotated=not self.test_mode,
            masks=False,  # not repaired: with `use_masks`, what is wrong with them is reported
        )
        if "annotations" in dataset:
            self._check_boxes(BoxTable(dataset))
            if self.use_masks:
                dataset = self._without_bad_masks(trim_masks(dataset))
        return index_coco(dataset)

    def parse_data_info(self, raw_data_info: Json) -> Json:
        """Convert an image and its annotations to a sample, without masks unless ``use_masks``.

        Args:
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` as in the json.

        Returns:
            Sample of the parent, whose instances have ``bbox`` as ``(x1, y1, x2, y2)`` in pixels,
            ``bbox_label`` and ``ignore_flag``, and with ``use_masks`` those with a true mask have
            ``mask``, as in the json.
        """
        boxes = [
            {**_keep_box_fields(annotation), **self._mask_field(annotation)}
            for annotation in raw_data_info["raw_ann_info"]
        ]
        data_info = super().parse_data_info({**raw_data_info, "raw_ann_info": boxes})
        data_info["seg_map_path"] = None
        return data_info

    def _mask_field(self, annotation: Json) -> Json:
        if not self.use_masks or not is_true_mask(annotation, self.mask_sources):
            return {}
        return {"segmentation": annotation["segmentation"]}

    def _without_bad_masks(self, dataset: Json) -> Json:
        """Remove unusable masks from the json, and report them."""
        problems = find_mask_problems(
            dataset, sources=self.mask_sources, min_box_iou=self.min_box_iou
        )
        if problems:
            shown = "".join(f"\n- {problem}" for problem in list(problems.values())[:5])
            more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
            text = f"{len(problems)} masks of '{self.ann_file}' cannot be used:{shown}{more}"
            if self.bad_masks == "error":
                raise ValueError(f"Expected usable masks, but {text}")
            print_log(f"{text}\nThese objects train as boxes.", "current", logging.WARNING)
        annotations = [
            {**a, "segmentation": None} if a["id"] in problems else a
            for a in dataset["annotations"]
        ]
        if not any(is_true_mask(a, self.mask_sources) for a in annotations):
            print_log(
                f"'{self.ann_file}': use_masks=True, but none of its {len(annotations)} boxes has "
                f"a usable mask whose `mask_source` is one of {self.mask_sources}: it trains on "
                "boxes alone. Check `ann_file` and `mask_sources`.",
                "current",
                logging.WARNING,
            )
        return {**dataset, "annotations": annotations}

    def filter_data(self) -> list[Json]:
        """Filter the samples as the parent does, and check that their images exist.

        Raises:
            FileNotFoundError: if images are missing.
            ValueError: if none is left to train on.
        """
        data_list = super().filter_data()
        if len(data_list) < len(self.data_list):
            self._log_left_out(len(data_list))
        if self.check_images and self._has_local_images():
            self._check_images_exist([data_info["img_path"] for data_info in data_list])
        return data_list

    def _has_local_images(self) -> bool:
        backend = get_file_backend(self.data_prefix["img"], backend_args=self.backend_args)
        return isinstance(backend, LocalBackend)

    def _log_left_out(self, kept: int) -> None:
        options = self.filter_cfg or {}
        size = options.get("min_size", 0)
        small = sum(min(each["width"], each["height"]) < size for each in self.data_list)
        total = len(self.data_list)
        text = f"'{self.ann_file}': `filter_cfg` leaves out {total - kept} of {total} images"
        reasons = [f"{small} smaller than min_size={size}"] if small else []
        if total - kept > small:
            reasons.append(f"{total - kept - small} without a box (filter_empty_gt=True)")
        text = f"{text}: {', '.join(reasons)}."
        if not kept:
            raise ValueError(
                f"Expected images to train on, but {text} Set filter_cfg=None to train on all."
            )
        print_log(text, logger="current", level=logging.WARNING)

    def _check_images_exist(self, paths: list[str]) -> None:
        missing = _missing_files(paths)
        if not missing:
            return
        shown = "".join(f"\n- {path}" for path in missing[:5])
        more = f"\n... and {len(missing) - 5} more" if len(missing) > 5 else ""
        folder = self.data_prefix["img"]
        fix = missing_image_hint(os.path.relpath(missing[0], folder or "."), folder) or (
            "Set `data_root` and `data_prefix` such that, joined with the `file_name` of the json, "
            "they give the path, or restore the files"
        )
        raise FileNotFoundError(
            f"Expected the {len(paths)} images of '{self.ann_file}' below "
            f"data_prefix=dict(img={folder!r}), but {len(missing)} are missing:"
            f"{shown}{more}\n{fix}."
        )

    def _check_boxes(self, boxes: BoxTable) -> None:
        """Log the number of dropped boxes, and raise if none is left to train on."""
        total = len(boxes.image_inds)
        thin, outside = int(boxes.thin.sum()), int(boxes.outside.sum())
        if thin or outside:
            print_log(
                f"'{self.ann_file}': of {total} boxes, {thin} are dropped as thinner than a "
                f"pixel, {outside} as outside their image.",
                logger="current",
                level=logging.WARNING,
            )
        categories = boxes.dataset["categories"]
        chosen = [category["name"] in self.metainfo["classes"] for category in categories]
        trained = boxes.trained & np.array(chosen, dtype=bool)[boxes.class_inds]
        if not (trained.any() or self.test_mode or self.allow_no_boxes):
            raise ValueError(
                f"Expected boxes to train on in '{self.ann_file}', but none of its {total} is "
                f"left: {int(boxes.crowd.sum())} have `iscrowd` set, {int(boxes.ignored.sum())} "
                f"`ignore`, {thin} are thinner than a pixel, {outside} lie outside their image, "
                "the others are of other classes. Unset the flags of single objects (CVAT's brush "
                "sets `iscrowd`), or set allow_no_boxes=True for a part of images without objects."
            )

    def _check_pipeline(self) -> None:
        for transform in self.pipeline.transforms:
            if getattr(transform, "with_mask", False):
                raise ValueError(
                    f"Expected a pipeline without masks, but got {transform!r}. A CocoBoxDataset "
                    "has boxes alone: use with_mask=False, or a CocoDataset to evaluate masks."
                )


def _keep_box_fields(annotation: Json) -> Json:
    """Keep box, class and flags of an annotation; the parent requires an area."""
    box = {key: annotation[key] for key in ("bbox", "category_id")}
    flags = {key: annotation.get(key, False) for key in ("iscrowd", "ignore")}
    return {**box, **flags, "area": box["bbox"][2] * box["bbox"][3]}


def _missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths without a file; lists each folder once, which is faster than a call each."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = _list_folder(folder)
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _list_folder(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder or "."))
    except (FileNotFoundError, NotADirectoryError):
        return set()
