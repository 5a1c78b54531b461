"""Data set of a COCO json with boxes, validated before the first training step."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log

from mmdet_discobox.utils.types import Json

from .box_table import BoxTable
from .coco_validation import check_coco_boxes, load_coco_json
from .true_masks import MIN_BOX_IOU, PERSON, find_mask_problems, is_true_mask


@DATASETS.register_module()
class CocoBoxDataset(CocoDataset):
    """A :class:`mmdet.datasets.CocoDataset` for box supervision.

    Differences to its parent:

    1. ``segmentation`` and ``area`` are optional and, without ``use_masks``, never read: samples
       contain neither masks nor the path of a segmentation map, and a pipeline with
       ``LoadAnnotations(with_mask=True)`` fails.
    2. The constructor validates the json, see :mod:`.coco_validation`. One error lists the faults,
       each with its annotation, its image and the value found.
    3. ``metainfo['classes']`` must be classes of the json, in its order. The parent silently
       ignores unknown names and numbers the others by the json.
    4. The constructor checks that the image files exist.
    5. The number of dropped boxes (thinner than a pixel, or outside their image) is logged. The
       parent drops the same boxes silently.

    Crowd and ``ignore`` annotations, images without objects, boxes of one pixel and boxes past the
    image border are treated as in the parent.

    With ``use_masks``, an annotation with a non-empty ``segmentation`` (polygons or RLE) of a
    trusted source is an object with a true mask, any other is a box, see :func:`.mask_source`. The
    pipeline loads the masks by :class:`.LoadTrueMasks`, and the model needs ``true_masks=True``.

    Args:
        *args: Arguments of the parent.
        use_masks: Whether to read the masks that some annotations have.
        mask_sources: Values of ``mask_source`` that count as truth; add ``'machine'`` to trust
            auto-labels that nobody accepted.
        min_box_iou: Smallest IoU of the box of a mask with the annotated box.
        bad_masks: ``'drop'`` logs the unusable masks once and trains on their boxes, ``'error'``
            stops before the training; see :func:`.find_mask_problems`.
        check_images: Whether to check that the image files exist. Remote files are not checked.
        **kwargs: Arguments of the parent.

    Raises:
        ValueError: If the json is not a COCO json, its boxes or classes cannot be used, masks
            cannot be used and ``bad_masks`` is ``'error'``, or ``bad_masks`` is another value.
        FileNotFoundError: If the json or images are missing.
    """

    def __init__(
        self,
        *args: Any,
        check_images: bool = True,
        use_masks: bool = False,
        mask_sources: Sequence[str] = (PERSON,),
        min_box_iou: float = MIN_BOX_IOU,
        bad_masks: Literal["drop", "error"] = "drop",
        **kwargs: Any,
    ) -> None:
        if bad_masks not in ("drop", "error"):
            raise ValueError(f"Expected `bad_masks` to be 'drop' or 'error' but got {bad_masks!r}.")
        self.check_images = check_images
        self.use_masks = use_masks
        self.mask_sources = tuple(mask_sources)
        self.min_box_iou = min_box_iou
        self.bad_masks = bad_masks
        super().__init__(*args, **kwargs)

    def COCOAPI(self, local_path: str) -> COCO:  # noqa: N802 - the parent's name
        """Read, validate and index the json, or the local copy of a remote one."""
        dataset = load_coco_json(local_path, name=self.ann_file)
        check_coco_boxes(dataset, name=self.ann_file, classes=self.metainfo["classes"])
        self._log_dropped_boxes(dataset)
        if self.use_masks:
            dataset = self._without_bad_masks(dataset)
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

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
        return {**dataset, "annotations": annotations}

    def filter_data(self) -> list[Json]:
        """Filter the samples as the parent does, and check that their images exist."""
        data_list = super().filter_data()
        backend = get_file_backend(self.data_prefix["img"], backend_args=self.backend_args)
        if self.check_images and isinstance(backend, LocalBackend):
            self._check_images_exist([data_info["img_path"] for data_info in data_list])
        return data_list

    def _check_images_exist(self, paths: list[str]) -> None:
        missing = _missing_files(paths)
        if not missing:
            return
        shown = "".join(f"\n- {path}" for path in missing[:5])
        more = f"\n... and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise FileNotFoundError(
            f"Expected the {len(paths)} images of '{self.ann_file}' below "
            f"data_prefix=dict(img={self.data_prefix['img']!r}), but {len(missing)} are missing:"
            f"{shown}{more}\nSet `data_root` and `data_prefix` such that, joined with the "
            "`file_name` of the json, they give the path, or restore the files."
        )

    def _log_dropped_boxes(self, dataset: Json) -> None:
        boxes = BoxTable(dataset)
        thin, outside = int(boxes.thin.sum()), int(boxes.outside.sum())
        if thin or outside:
            print_log(
                f"'{self.ann_file}': of {len(dataset['annotations'])} boxes, {thin} are dropped "
                f"as thinner than a pixel, {outside} as outside their image.",
                logger="current",
                level=logging.WARNING,
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
