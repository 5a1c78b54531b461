"""The palette images of Pascal VOC, read back by the reader of VOC 2012."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_sets import HEIGHT, WIDTH, annotated, blobs, disc, labelled_set
from PIL import Image

from mmdet_discobox.evaluation import VOCInstanceMetric
from mmdet_discobox.labelling.formats import check_images, write_masks
from mmdet_discobox.labelling.mask_encoding import decode_rle
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.voc import VOC_CLASSES, voc_colours
from voc_sbd.instances import coco_annotations
from voc_sbd.voc12 import read_voc_instances, read_voc_names


def apart(count):
    """Masks that do not overlap, as one map of numbers."""
    masks = []
    for seed in range(count):
        mask = blobs(seed, 3)
        for other in masks:
            mask &= ~other
        masks.append(mask)
    return masks


def test_masks_come_back(tmp_path):
    masks = apart(5)
    classes = [7, 3, 7, 7, 3]
    dataset = labelled_set(
        [annotated(mask, category_id=each) for mask, each in zip(masks, classes, strict=True)]
    )
    assert write_masks("voc-png", tmp_path / "out", dataset) == []
    assert read_voc_names(tmp_path / "out", "train") == {"a"}
    instances = read_voc_instances(tmp_path / "out", "a")
    assert instances.classes == {index: {7: 8, 3: 12}[c] for index, c in enumerate(classes, 1)}
    for index, mask in enumerate(masks, 1):
        assert np.array_equal(instances.indices == index, mask)


def test_the_metric_of_voc_finds_all_masks(tmp_path):
    """The masks as detections of what the files hold have an AP of 1 at every threshold."""
    masks = apart(4)
    dataset = labelled_set(
        [annotated(mask, image_id=1 + index % 2) for index, mask in enumerate(masks)],
        ["a/x.jpg", "b/x.png"],
    )
    write_masks("voc-png", tmp_path / "out", dataset)
    read = {
        **labelled_set([], ["a/x.jpg", "b/x.png"]),
        "annotations": [
            dict(each, id=f"{name}, object {number}", image_id=index)
            for index, name in enumerate(sorted(read_voc_names(tmp_path / "out", "train")), 1)
            for number, each in enumerate(
                coco_annotations(read_voc_instances(tmp_path / "out", name))
            )
        ],
        "categories": [dict(id=index, name=name) for index, name in enumerate(VOC_CLASSES, 1)],
    }
    assert len(read["annotations"]) == 4
    write_json(tmp_path / "read.json", read)
    metric = VOCInstanceMetric(str(tmp_path / "read.json"), thresholds=(0.5, 0.99))
    metric.dataset_meta = dict(classes=VOC_CLASSES)
    for image_id in (1, 2):
        found = [m for index, m in enumerate(masks) if 1 + index % 2 == image_id]
        prediction = dict(
            masks=torch.from_numpy(np.stack(found)),
            labels=torch.full((len(found),), VOC_CLASSES.index("cat")),
            scores=torch.ones(len(found)),
        )
        metric.process({}, [dict(img_id=image_id, pred_instances=prediction)])
    results = metric.evaluate(2)
    assert set(results.values()) == {1.0}


def test_overlaps_belong_to_the_smaller_object(tmp_path):
    large, small, hidden = disc(50, 45, 30), disc(60, 45, 10), disc(60, 45, 5)
    dataset = labelled_set([annotated(small), annotated(large, category_id=3), annotated(hidden)])
    write_masks("voc-png", tmp_path / "out", dataset)
    indices = read_voc_instances(tmp_path / "out", "a").indices
    assert indices[45, 60] == 3
    assert indices[45, 68] == 1
    assert indices[45, 30] == 2
    classes = np.asarray(Image.open(tmp_path / "out" / "SegmentationClass" / "a.png"))
    assert (classes[45, 60], classes[45, 30], classes[0, 0]) == (8, 12, 0)


def test_an_object_under_smaller_ones_is_counted(tmp_path):
    mask = disc(50, 45, 10)
    left, right = mask.copy(), mask.copy()
    left[:, 50:], right[:, :50] = False, False
    dataset = labelled_set([annotated(mask), annotated(left), annotated(right)])
    (note,) = write_masks("voc-png", tmp_path / "out", dataset)
    assert "1 object that smaller objects cover" in note
    assert set(np.unique(read_voc_instances(tmp_path / "out", "a").indices)) == {0, 2, 3}


def test_crowds_and_ignored_objects_are_void(tmp_path):
    dataset = labelled_set(
        [
            dict(annotated(disc(30, 40, 20)), iscrowd=1),
            annotated(disc(30, 40, 5)),
            annotated(disc(90, 40, 9), ignore=1),
        ]
    )
    write_masks("voc-png", tmp_path / "out", dataset)
    for folder, number in (("SegmentationObject", 1), ("SegmentationClass", 8)):
        values = np.asarray(Image.open(tmp_path / "out" / folder / "a.png"))
        assert (values[40, 30], values[40, 45], values[40, 90]) == (number, 255, 255)


def test_the_palette_is_that_of_voc(tmp_path):
    write_masks("voc-png", tmp_path / "out", labelled_set([annotated(disc(30, 40, 5))]))
    image = Image.open(tmp_path / "out" / "SegmentationObject" / "a.png")
    assert image.mode == "P"
    assert image.size == (WIDTH, HEIGHT)
    assert image.convert("RGB").getpixel((30, 40)) == (128, 0, 0)
    colours = voc_colours()
    # of the development kit: aeroplane, bicycle, person, tvmonitor, void
    assert colours[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    assert len({*map(tuple, colours.tolist())}) == 256


def test_classes_of_voc_have_its_numbers(tmp_path):
    dataset = labelled_set([annotated(disc(30, 40, 5), category_id=3)])
    dataset["categories"] = [dict(id=7, name="person"), dict(id=3, name="dog")]
    write_masks("voc-png", tmp_path / "out", dataset)
    names = (tmp_path / "out" / "class_names.txt").read_text().splitlines()
    assert names == ["background", *VOC_CLASSES]
    (number,) = read_voc_instances(tmp_path / "out", "a").classes.values()
    assert names[number] == "dog"
    dataset["categories"][0]["name"] = "Hündin"
    write_masks("voc-png", tmp_path / "other", dataset)
    text = (tmp_path / "other" / "class_names.txt").read_text(encoding="utf-8")
    assert text.splitlines() == ["background", "Hündin", "dog"]
    assert set(read_voc_instances(tmp_path / "other", "a").classes.values()) == {2}


def test_sub_folders_keep_equal_names_apart(tmp_path):
    masks = [disc(30, 40, 9), disc(70, 40, 12)]
    annotations = [annotated(mask, image_id=index) for index, mask in enumerate(masks, 1)]
    names = ["a/x.jpg", "b/x.jpg", "failed.jpg"]
    failed = dict(annotated(disc(30, 40, 10), image_id=3), segmentation=[])
    notes = write_masks("voc-png", tmp_path / "out", labelled_set([*annotations, failed], names))
    assert notes == ["Left out: 1 image whose boxes have no mask."]
    assert read_voc_names(tmp_path / "out", "train") == {"a/x", "b/x"}
    for name, mask in zip(("a/x", "b/x"), masks, strict=True):
        assert np.array_equal(read_voc_instances(tmp_path / "out", name).indices == 1, mask)


def test_polygons_are_read_too(tmp_path):
    square = dict(annotated(disc(30, 40, 9)), segmentation=[[10, 10, 20, 10, 20, 20, 10, 20]])
    write_masks("voc-png", tmp_path / "out", labelled_set([square]))
    assert (read_voc_instances(tmp_path / "out", "a").indices == 1).sum() == 100


def test_254_objects_fit_and_255_are_refused_before_labelling(tmp_path):
    masks = np.zeros((255, HEIGHT, WIDTH), bool)
    for index in range(255):
        masks[index, index // 20 * 2, index % 20 * 2] = True
    annotations = [annotated(mask) for mask in masks]
    with pytest.raises(ValueError, match=r"254 objects per image .* 'a.jpg' has 255\. Cut the im"):
        check_images("voc-png", labelled_set(annotations))
    write_masks("voc-png", tmp_path / "out", labelled_set(annotations[:254]))
    indices = read_voc_instances(tmp_path / "out", "a").indices
    assert np.array_equal(np.unique(indices), np.arange(255))
    assert decode_rle(annotations[253]["segmentation"])[indices == 254].all()


def test_boxes_that_get_no_mask_need_no_number(tmp_path):
    cat = annotated(disc(30, 30, 5))
    box = {key: value for key, value in cat.items() if key != "segmentation"}
    dataset = labelled_set([*[box] * 300, dict(box, category_id=3)])
    with pytest.raises(ValueError, match="254 objects per image"):
        check_images("voc-png", dataset)
    check_images("voc-png", dataset, ["dog"])
    dataset["annotations"][-1]["segmentation"] = cat["segmentation"]
    write_masks("voc-png", tmp_path / "out", dataset)
    assert np.unique(read_voc_instances(tmp_path / "out", "a").indices).tolist() == [0, 1]


def test_too_many_classes_are_refused():
    dataset = labelled_set([])
    dataset["categories"] = [dict(id=index, name=f"class {index}") for index in range(255)]
    with pytest.raises(ValueError, match="at most 254 classes .* but got 255"):
        check_images("voc-png", dataset)
    dataset["categories"].pop()
    check_images("voc-png", dataset)
    dataset = labelled_set([], ["x.jpg", "x.png"])
    with pytest.raises(ValueError, match=r"'x.jpg' and 'x.png' would both have 'x.png'"):
        check_images("voc-png", dataset)
