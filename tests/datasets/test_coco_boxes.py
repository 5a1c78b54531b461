"""Samples contain nothing but boxes, and invalid input raises one error."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from coco_json import CLASSES, GOOD, HEIGHT, WIDTH, annotation, coco
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from mmdet_discobox.datasets import coco_boxes
from mmdet_discobox.datasets.coco_boxes import CocoBoxDataset

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(96, 64), keep_ratio=True),
    dict(type="RandomFlip", prob=0.0),
    dict(type="PackDetInputs"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four images and no json."""
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    (tmp_path / "images" / "folder").mkdir(parents=True)
    for record in coco([])["images"]:
        cv2.imwrite(str(tmp_path / "images" / record["file_name"]), image)
    return tmp_path


def make(root: Path, content: Any, **options: Any) -> CocoBoxDataset:
    """Write a json and build the data set from the registry, as a config does."""
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "boxes.json").write_text(text)
    config = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file="boxes.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=CLASSES),
    )
    return DATASETS.build({**config, **options})


def boxes_of(dataset: CocoBoxDataset) -> list[list[float]]:
    return [instance["bbox"] for info in dataset for instance in info["instances"]]


def test_real_pipeline_on_boxes_alone(root: Path) -> None:
    samples = list(make(root, coco(GOOD), pipeline=PIPELINE))
    assert [len(sample["data_samples"].gt_instances) for sample in samples] == [2, 2, 1, 0]
    assert [len(sample["data_samples"].ignored_instances) for sample in samples] == [0, 0, 1, 0]
    assert all(sample["inputs"].shape == (3, 64, 96) for sample in samples)
    assert all("masks" not in sample["data_samples"].gt_instances for sample in samples)
    assert samples[0]["data_samples"].gt_instances.labels.tolist() == [0, 1]
    # The image doubles in size, so [4, 6, 20, 10] becomes the corners (8, 12) and (48, 32).
    assert samples[0]["data_samples"].gt_instances.bboxes.tensor[0].tolist() == [8, 12, 48, 32]
    # Boxes past the border are clipped by Resize.
    second = samples[1]["data_samples"].gt_instances.bboxes.tensor.tolist()
    assert second == [[0, 0, 30, 30], [80, 40, 96, 64]]


def test_equals_the_parent_on_full_annotations(root: Path) -> None:
    full = coco([{**ann, "area": ann["bbox"][2] * ann["bbox"][3]} for ann in GOOD])
    options = dict(pipeline=[], filter_cfg=dict(filter_empty_gt=True, min_size=32))
    ours = make(root, full, **options)
    parent = make(root, full, type="CocoDataset", **options)
    assert isinstance(parent, CocoDataset)
    assert len(ours) == 3
    assert [dict(info) for info in ours] == [dict(info) for info in parent]
    boxes_only = make(root, coco(GOOD), **options)
    assert [dict(info) for info in boxes_only] == [dict(info) for info in parent]


def test_test_mode_keeps_images_without_objects(root: Path) -> None:
    filter_cfg = dict(filter_empty_gt=True, min_size=32)
    assert len(make(root, coco(GOOD), test_mode=True, filter_cfg=filter_cfg, pipeline=[])) == 4
    assert len(make(root, coco(GOOD), filter_cfg=filter_cfg, pipeline=[])) == 3
    assert len(make(root, coco([]), pipeline=[], allow_no_boxes=True)) == 4


@pytest.mark.parametrize(
    "segmentation",
    [[[4, 6, 24, 6, 24, 16]], {"size": [HEIGHT, WIDTH], "counts": "no RLE"}, [], None, "noise", 5],
)
def test_samples_have_no_masks(root: Path, segmentation: Any) -> None:
    masked = coco([{**ann, "segmentation": segmentation} for ann in GOOD])
    prefix = dict(img="images/", seg="stuff/")
    dataset = make(root, masked, pipeline=[], data_prefix=prefix)
    plain = make(root, coco(GOOD), pipeline=[])
    assert [dict(info) for info in dataset] == [dict(info) for info in plain]
    assert all("mask" not in instance for info in dataset for instance in info["instances"])
    load_masks = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_mask=True)]
    with pytest.raises(ValueError, match="a pipeline without masks, but got LoadAnnotations"):
        make(root, masked, pipeline=load_masks)


def test_area_is_not_read(root: Path) -> None:
    """The parent drops a box whose annotated area is zero, whatever its size."""
    dataset = make(root, coco([annotation(1, 1, [4, 6, 20, 10], area=0)]), pipeline=[])
    assert boxes_of(dataset) == [[4, 6, 24, 16]]


def test_dropped_boxes_are_counted_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, int]] = []
    monkeypatch.setattr(
        coco_boxes, "print_log", lambda text, logger, level: lines.append((text, level))
    )
    bad = [
        annotation(11, 1, [3, 3, 0, 5]),
        annotation(12, 1, [3, 3, 5, 0.5]),
        annotation(13, 1, [WIDTH, 3, 5, 5]),
        annotation(14, 1, [-9, 3, 5, 5]),
        annotation(15, 1, [3, HEIGHT + 4, 5, 5]),
        annotation(16, 1, [3, 3, 0, 0], ignore=1),
    ]
    kept = boxes_of(make(root, coco(GOOD + bad), pipeline=[]))
    assert kept == boxes_of(make(root, coco(GOOD), pipeline=[]))
    assert len(lines) == 1
    assert "of 13 boxes, 2 are dropped as thinner than a pixel, 3 as outside" in lines[0][0]
    assert lines[0][1] == logging.WARNING


def test_one_error_lists_all_problems(root: Path) -> None:
    bad = [annotation(8, 2, [1, 2, -3, 4]), annotation(9, 2, [1, 2, 3, 4], category_id=99)]
    with pytest.raises(ValueError, match="found 2 problems:") as caught:
        make(root, coco(GOOD + bad))
    assert str(root / "boxes.json") in str(caught.value)
    assert "annotation 8 (image 2, 'folder/second.png')" in str(caught.value)
    assert "annotation 9 (image 2, 'folder/second.png')" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[" * 100_000, [], {}, {"images": []}])
def test_no_coco_json(root: Path, content: Any) -> None:
    with pytest.raises(ValueError, match=r"boxes\.json' to be a COCO json"):
        make(root, content)


def test_default_classes_that_the_json_lacks_are_refused(root: Path) -> None:
    """With the default 80 classes of COCO, the parent would be an empty data set."""
    with pytest.raises(ValueError, match=r"does not have: 'person', .*\(78 in all\)"):
        make(root, coco(GOOD), metainfo=None)


def test_other_classes_of_the_json_are_skipped(root: Path) -> None:
    dataset = make(root, coco(GOOD), metainfo=dict(classes=("dog",)), pipeline=[])
    instances = [instance for info in dataset for instance in info["instances"]]
    assert [instance["bbox_label"] for instance in instances] == [0]


def test_missing_json(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"COCO json at '.*nowhere.json'.*`data_root`"):
        make(root, coco(GOOD), ann_file="nowhere.json")


def test_missing_images(root: Path) -> None:
    (root / "images" / "third.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)4 images .* but 1 are missing:.*third.png"):
        make(root, coco(GOOD))
    assert len(make(root, coco(GOOD), check_images=False)) == 4
    with pytest.raises(FileNotFoundError, match=r"(?s)img='.*/elsewhere/'.* 4 are missing"):
        make(root, coco(GOOD), data_prefix=dict(img="elsewhere/"))


@pytest.mark.parametrize("prefix", [dict(), dict(img_path="images/")])
def test_a_folder_of_images_is_required(root: Path, prefix: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"folder of the images as `img`, but got \{.*img=''"):
        make(root, coco(GOOD), data_prefix=prefix)


def test_images_in_a_sub_folder_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'first.png' is in '.*/images': pass this"):
        make(root, coco(GOOD), data_prefix=dict(img=""))


def test_missing_images_may_be_filtered(root: Path) -> None:
    (root / "images" / "empty.png").unlink()
    assert len(make(root, coco(GOOD), filter_cfg=dict(filter_empty_gt=True), pipeline=[])) == 3


def test_remote_images_are_not_checked(root: Path) -> None:
    options = dict(data_root="", ann_file=str(root / "boxes.json"))
    assert len(make(root, coco(GOOD), data_prefix=dict(img="http://a.b/"), **options)) == 4


def test_each_folder_is_listed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(
        coco_boxes.os, "listdir", lambda path: (listed.append(path), listdir(path))[1]
    )
    make(root, coco(GOOD))
    assert sorted(listed) == [str(root / "images"), str(root / "images" / "folder")]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=5) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=6,
)
NUMBERS = st.integers(-60, 60) | st.floats(-60, 60) | st.floats() | st.just(10**400)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 5) | JSON_VALUES,
        "image_id": st.integers(0, 5) | JSON_VALUES,
        "category_id": st.sampled_from([3, 7, 9]) | JSON_VALUES,
        "bbox": st.lists(NUMBERS, min_size=3, max_size=5) | JSON_VALUES,
        "iscrowd": st.integers(0, 1) | JSON_VALUES,
        "ignore": st.integers(0, 1) | JSON_VALUES,
        "segmentation": JSON_VALUES,
        "area": JSON_VALUES,
    },
)
fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(annotations=st.lists(ANNOTATIONS | JSON_VALUES, max_size=4))
def test_fuzzed_annotations_load_or_raise_a_value_error(root: Path, annotations: list[Any]) -> None:
    try:
        dataset = make(root, coco(annotations), pipeline=[], serialize_data=False)
    except ValueError as error:
        assert "boxes.json" in str(error)  # noqa: PT017 - both outcomes are valid
    else:
        assert np.isfinite(np.array(boxes_of(dataset), dtype=np.float32)).all()


@fuzz
@given(
    boxes=st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from([3, 7]),
            st.lists(st.floats(-60, 60) | st.integers(-60, 60), min_size=2, max_size=2),
            st.lists(st.floats(0, 60) | st.integers(0, 60), min_size=2, max_size=2),
        ),
        max_size=6,
    )
)
def test_valid_annotations_load(root: Path, boxes: list[Any]) -> None:
    annotations = [
        annotation(index, image, corner + size, category_id=category)
        for index, (image, category, corner, size) in enumerate(boxes)
    ]
    options = dict(pipeline=[], serialize_data=False, allow_no_boxes=True)
    dataset = make(root, coco(annotations), **options)
    assert len(dataset) == 4
    kept = [corner + size for _, _, corner, size in boxes if _is_visible(*corner, *size)]
    assert len(boxes_of(dataset)) == len(kept)


def _is_visible(left: float, top: float, width: float, height: float) -> bool:
    inside = min(left + width, WIDTH) > max(left, 0) and min(top + height, HEIGHT) > max(top, 0)
    return inside and width >= 1 and height >= 1


def test_photographs(discobox_data: Path) -> None:
    options = dict(type="CocoBoxDataset", metainfo=dict(classes=("person",)), pipeline=[])
    root = str(discobox_data / "persons")
    prefix = dict(img="images/")
    boxes, masks = (
        DATASETS.build(dict(**options, data_root=root, ann_file=name, data_prefix=prefix))
        for name in ("train_boxes.json", "train_masks.json")
    )
    assert len(boxes) == len(masks) > 0
    assert boxes_of(boxes) == boxes_of(masks)
