"""COCO's AP on annotations without masks: a clear error, or box AP."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from mmdet_discobox.evaluation import coco_box_metric

BOXES = [[0, 0, 6, 8], [6, 0, 6, 8]]


def polygon(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def dataset(*, masks=False, complete=False):
    annotations = []
    for index, box in enumerate(BOXES):
        ids = {"id": index + 1, "image_id": 1, "category_id": 1, "bbox": box}
        extra = {"segmentation": polygon(*box)} if masks else {}
        extra |= {"area": box[2] * box[3], "iscrowd": 0} if complete else {}
        annotations.append({**ids, **extra})
    images = [{"id": 1, "file_name": "1.jpg", "height": 8, "width": 12}]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}


def metric(tmp_path, content, **options):
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    built = METRICS.build(dict(type="CocoBoxMetric", ann_file=str(path), **options))
    built.dataset_meta = dict(classes=("cat",))
    return built


def sample():
    """The first box is found, the second is half found."""
    boxes = torch.tensor([[0.0, 0, 6, 8], [6, 0, 9, 8]])
    masks = torch.zeros(2, 8, 12, dtype=torch.bool)
    masks[0, :, :6] = masks[1, :, 6:9] = True
    labels, scores = torch.zeros(2, dtype=torch.long), torch.tensor([0.9, 0.8])
    instances = dict(bboxes=boxes, masks=masks, labels=labels, scores=scores)
    return dict(img_id=1, ori_shape=(8, 12), pred_instances=instances)


def evaluated(built):
    built.process({}, [copy.deepcopy(sample())])
    return built.evaluate(1)


def test_the_parent_fails_without_masks(tmp_path):
    """The reason for this class: remove it once the parent supports missing masks."""
    path = tmp_path / "val.json"
    path.write_text(json.dumps(dataset(complete=True)))
    parent = CocoMetric(ann_file=str(path), metric="segm")
    parent.dataset_meta = dict(classes=("cat",))
    with pytest.raises(KeyError, match="segmentation"):
        evaluated(parent)


def test_rejects_mask_ap_without_masks(tmp_path):
    with pytest.raises(ValueError, match=r"2 of the 2 annotations .*id 1.*metric=\['bbox'\]"):
        metric(tmp_path, dataset(), metric=["bbox", "segm"])


@pytest.mark.parametrize("asked", ["segm", ["bbox", "segm"]])
def test_without_masks_boxes_computes_box_ap(tmp_path, monkeypatch, asked):
    lines = []
    monkeypatch.setattr(coco_box_metric, "print_log", lambda text, **_: lines.append(text))
    built = metric(tmp_path, dataset(), metric=asked, without_masks="boxes")
    assert "mask AP is not computed, only ['bbox']" in lines[0]
    assert evaluated(built) == evaluated(metric(tmp_path, dataset(complete=True), metric="bbox"))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equals_the_parent_on_complete_annotations(tmp_path, kind):
    content = dataset(masks=True, complete=True)
    expected = evaluated(metric(tmp_path, content, metric=kind))
    parent = CocoMetric(ann_file=str(tmp_path / "val.json"), metric=kind)
    parent.dataset_meta = dict(classes=("cat",))
    assert evaluated(parent) == expected
    assert expected[f"coco/{kind}_mAP_50"] == 1
    assert 0.5 < expected[f"coco/{kind}_mAP"] < 1
    incomplete = metric(tmp_path, dataset(masks=kind == "segm"), metric=kind)
    assert evaluated(incomplete) == expected


def perfect(content):
    """Both boxes of :func:`dataset` are found."""
    found = sample()
    found["pred_instances"]["bboxes"][1] = torch.tensor([6.0, 0, 12, 8])
    found["img_id"] = content["images"][0]["id"]
    return found


@pytest.mark.parametrize("ids", [(0, 1), ("a1", "a2"), ("0", "7"), (2**53 + 1, 2**70), (-1, "-1")])
def test_invariant_to_annotation_ids(tmp_path, ids):
    content = dataset(complete=True)
    for annotation, number in zip(content["annotations"], ids, strict=True):
        annotation["id"] = number
    built = metric(tmp_path, content, classwise=True)
    built.process({}, [perfect(content)])
    result = built.evaluate(1)
    assert result["coco/bbox_mAP"] == result["coco/cat_precision"] == 1
    assert json.loads((tmp_path / "val.json").read_text()) == content


@pytest.mark.parametrize("kind", ["bbox", "segm", "proposal", "proposal_fast"])
@pytest.mark.parametrize("flag", [dict(ignore=True), dict(iscrowd=1), dict(ignore=1, iscrowd=0)])
def test_ignored_objects_may_be_missed(tmp_path, kind, flag):
    """A third, marked object without a detection."""
    content = dataset(masks=True)
    content["images"][0]["height"] = 20
    third = dict(content["annotations"][0], id=3, bbox=[0, 10, 6, 8], **flag)
    content["annotations"].append(dict(third, segmentation=polygon(0, 10, 6, 8)))
    built = metric(tmp_path, content, metric=kind)
    found = perfect(content)
    found["ori_shape"] = (20, 12)
    masks = torch.zeros(2, 20, 12, dtype=torch.bool)
    masks[0, :8, :6] = masks[1, :8, 6:] = True
    found["pred_instances"]["masks"] = masks
    built.process({}, [found])
    name = {"proposal": "AR@100", "proposal_fast": "AR@100"}.get(kind, f"{kind}_mAP_50")
    assert built.evaluate(1)[f"coco/{name}"] == 1


def test_ids_of_categories_of_both_types_are_sorted(tmp_path):
    content = dataset()
    ids = ["c", 2, 1, "10"]
    content["categories"] = [dict(id=value, name=f"class {value}") for value in ids]
    built = metric(tmp_path, content, sort_categories=True)
    assert built._category_ids == [1, 2, "10", "c"]


def test_formats_results_without_annotations(tmp_path):
    """The json of COCO's test-dev has no annotations."""
    content = dataset()
    del content["annotations"]
    prefix = str(tmp_path / "out")
    built = metric(tmp_path, content, metric="segm", format_only=True, outfile_prefix=prefix)
    assert evaluated(built) == {}
    assert (tmp_path / "out.segm.json").is_file()


def test_rejects_an_unknown_choice(tmp_path):
    with pytest.raises(ValueError, match="'raise' or 'boxes', but got 'skip'"):
        metric(tmp_path, dataset(), without_masks="skip")


def test_without_a_json_the_instances_of_the_samples_count():
    built = METRICS.build(dict(type="CocoBoxMetric", metric="bbox"))
    built.dataset_meta = dict(classes=("cat",))
    with pytest.raises(ValueError, match="Add 'instances' to the `meta_keys`"):
        built.process({}, [sample()])
    boxes = [[0, 0, 6, 8], [6, 0, 12, 8]]
    instances = [dict(bbox=box, bbox_label=0, ignore_flag=0) for box in boxes]
    found = dict(perfect(dataset()), instances=instances)
    built.process({}, [found])
    assert built.evaluate(1)["coco/bbox_mAP"] == 1
    masks = METRICS.build(dict(type="CocoBoxMetric", metric="segm"))
    with pytest.raises(ValueError, match="`instances` with masks for metric='segm'"):
        masks.process({}, [found])


def test_files_of_results_have_the_ids_of_the_json(tmp_path):
    content = dataset()
    content["images"][0]["id"] = "street"
    content["categories"][0]["id"] = 2**70
    for annotation in content["annotations"]:
        annotation.update(image_id="street", category_id=2**70)
    built = metric(tmp_path, content, outfile_prefix=str(tmp_path / "out"))
    built.process({}, [perfect(content)])
    assert built.evaluate(1)["coco/bbox_mAP"] == 1
    results = json.loads((tmp_path / "out.bbox.json").read_text())
    assert {(r["image_id"], r["category_id"]) for r in results} == {("street", 2**70)}


def test_an_image_that_the_json_lacks_is_named(tmp_path):
    built = metric(tmp_path, dataset())
    with pytest.raises(ValueError, match=r"image 7 in '.*val\.json', but it is missing"):
        built.process({}, [dict(sample(), img_id=7)])


def test_files_of_an_earlier_test_are_left_alone(tmp_path):
    """Detectors with and without masks write to one prefix."""
    content = dataset(masks=True)
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 70
    content["annotations"][1]["image_id"] = 70
    found = dict(sample(), img_id=70)
    for with_masks in (True, False):
        built = metric(tmp_path, content, outfile_prefix=str(tmp_path / "out"))
        if not with_masks:
            del found["pred_instances"]["masks"]
        built.process({}, [copy.deepcopy(found)])
        assert built.evaluate(1)["coco/bbox_mAP"] > 0
        for kind in ("bbox", "segm"):
            results = json.loads((tmp_path / f"out.{kind}.json").read_text())
            assert {result["image_id"] for result in results} == {70}
