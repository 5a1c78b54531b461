"""The metric of VOC's mask AP in the test script."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.config import Config
from pycocotools import mask as mask_utils

from mmdet_discobox.evaluation import voc_instance_metric

CONFIGS = Path(__file__).parents[2] / "configs" / "discobox"
CLASSES = ("cat", "dog")
HEIGHT, WIDTH = 8, 12
LEFT, RIGHT = [0, 0, 6, 0, 6, 8, 0, 8], [6, 0, 12, 0, 12, 8, 6, 8]


def half(side):
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, : WIDTH // 2] = side == "left"
    mask[:, WIDTH // 2 :] = side == "right"
    return mask


def annotation(ann_id, image_id, category_id, segmentation, **fields):
    ids = {"id": ann_id, "image_id": image_id, "category_id": category_id}
    return {**ids, "bbox": [0, 0, 6, 8], "segmentation": segmentation, **fields}


def dataset():
    """Two images with a left cat and a right dog, masks in COCO's three formats."""
    compressed = mask_utils.encode(np.asfortranarray(half("left").numpy().astype(np.uint8)))
    compressed["counts"] = compressed["counts"].decode()
    return {
        "images": [
            {"id": index, "file_name": f"{index}.jpg", "height": HEIGHT, "width": WIDTH}
            for index in (5, 6)
        ],
        "categories": [
            {"id": 7, "name": "cat"},
            {"id": 1, "name": "bird"},
            {"id": 3, "name": "dog"},
        ],
        "annotations": [
            annotation(1, 5, 7, [LEFT]),
            annotation(2, 5, 3, {"size": [HEIGHT, WIDTH], "counts": [48, 48]}),
            annotation(3, 6, 7, compressed),
            annotation(4, 6, 3, [RIGHT], iscrowd=0),
            annotation(5, 6, 1, [RIGHT]),
        ],
    }


def metric(tmp_path, content, **options):
    path = tmp_path / "välid.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    built = METRICS.build(dict(type="VOCInstanceMetric", ann_file=str(path), **options))
    built.dataset_meta = dict(classes=CLASSES)
    return built


def sample(image_id, sides, labels, scores=(0.9, 0.8)):
    masks = torch.stack([half(side) for side in sides])
    instances = dict(
        masks=masks, labels=torch.tensor(labels), scores=torch.tensor(scores[: len(sides)])
    )
    return dict(img_id=image_id, pred_instances=instances)


PERFECT = [sample(image_id, ("left", "right"), (0, 1)) for image_id in (5, 6)]


@pytest.mark.parametrize("matcher", ["sds", "bbtp"])
def test_perfect_predictions(tmp_path, matcher):
    voc = metric(tmp_path, dataset(), matcher=matcher)
    voc.process({}, PERFECT)
    assert voc.evaluate(2) == {f"voc_instance/AP_{percent}": 1.0 for percent in (25, 50, 70, 75)}


def test_labels_are_those_of_the_data_set(tmp_path):
    """Classes are numbered by the json, without those that are not evaluated.

    Labels of one image are swapped: cats are a hit and then a miss, AP 1/2; dogs a miss and then a
    hit, AP 1/4.
    """
    voc = metric(tmp_path, dataset(), thresholds=[0.5])
    voc.process({}, [sample(5, ("left", "right"), (1, 0)), PERFECT[1]])
    assert voc.evaluate(2) == {"voc_instance/AP_50": pytest.approx((1 / 2 + 1 / 4) / 2)}


def test_encoded_masks_and_mask_scores(tmp_path):
    """Masks may be encoded, and mask scores take precedence over box scores."""
    voc = metric(tmp_path, dataset(), thresholds=[0.5])
    masks = [half("left"), half("right")]
    codes = [mask_utils.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in masks]
    instances = dict(
        masks=codes,
        labels=torch.tensor([0, 0]),
        scores=torch.tensor([0.1, 0.9]),
        mask_scores=torch.tensor([0.8, 0.2]),
    )
    voc.process({}, [dict(img_id=5, pred_instances=instances)])
    assert voc.evaluate(1) == {"voc_instance/AP_50": pytest.approx((1 + 0) / 2)}


@pytest.mark.parametrize("name", ["solov2_r50_voc", "solov2_r101_voc"])
def test_the_configs_measure_table_2(tmp_path, name):
    config = Config.fromfile(CONFIGS / f"{name}.py")
    assert config.test_evaluator == config.val_evaluator
    assert Path(config.val_evaluator.ann_file).name == config.val_dataloader.dataset.ann_file
    options = dict(config.val_evaluator, ann_file=str(tmp_path / "val.json"))
    (tmp_path / "val.json").write_text(json.dumps(dataset()))
    voc = METRICS.build(options)
    assert (voc.thresholds, voc.matcher) == ((0.25, 0.5, 0.7, 0.75), "bbtp")


def test_warns_of_images_without_a_prediction(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(voc_instance_metric, "print_log", lambda text, **_: lines.append(text))
    voc = metric(tmp_path, dataset())
    voc.process({}, PERFECT[:1])
    assert voc.evaluate(1)["voc_instance/AP_75"] == 1
    assert "1 of the 2 images" in lines[0]


def test_no_objects(tmp_path):
    voc = metric(tmp_path, {**dataset(), "annotations": []})
    voc.process({}, PERFECT)
    assert np.isnan(voc.evaluate(2)["voc_instance/AP_50"])


def test_rejects_a_json_without_masks(tmp_path):
    content = dataset()
    del content["annotations"][1]["segmentation"]
    with pytest.raises(
        ValueError, match=r"1 of its 5 annotations have no usable `segmentation`.*id 2.*box"
    ):
        metric(tmp_path, content)


def test_rejects_a_missing_json():
    with pytest.raises(FileNotFoundError, match=r"'missing\.json'.*voc12_sbd\.py"):
        METRICS.build(dict(type="VOCInstanceMetric", ann_file="missing.json"))


def test_rejects_images_and_classes_that_are_not_in_the_json(tmp_path):
    voc = metric(tmp_path, dataset())
    with pytest.raises(ValueError, match="Expected image 9 in .*it is missing"):
        voc.process({}, [sample(9, ("left",), (0,))])
    other = metric(tmp_path, dataset())
    other.dataset_meta = dict(classes=("cat", "zebra"))
    with pytest.raises(ValueError, match=r"\['zebra'\] are not among its classes \['cat'"):
        other.process({}, PERFECT)


@pytest.mark.parametrize("thresholds", [(), (0.0, 0.5), (50,)])
def test_rejects_thresholds_out_of_range(tmp_path, thresholds):
    with pytest.raises(ValueError, match=r"`thresholds` in \(0, 1\)"):
        metric(tmp_path, dataset(), thresholds=thresholds)


def test_results_do_not_grow_with_the_image(tmp_path):
    voc = metric(tmp_path, dataset())
    voc.process({}, PERFECT)
    kept = [array.size for judged in voc.results for array in vars(judged).values()]
    assert max(kept) <= 2 * len(voc.thresholds)


def blobs(generator, count, height=375, width=500):
    """Ellipses of random size and place, as a dense stack."""
    y, x = np.mgrid[:height, :width]
    centre = generator.uniform(0, 1, (count, 2)) * (height, width)
    radius = generator.uniform(15, 120, (count, 2))
    dy, dx = (y - centre[:, :1, None]) / radius[:, :1, None], (x - centre[:, 1:, None])
    return dy**2 + (dx / radius[:, 1:, None]) ** 2 < 1


@pytest.mark.slow
@pytest.mark.parametrize("matcher", ["sds", "bbtp"])
def test_the_time_of_an_evaluation(tmp_path, matcher):
    """60 images of VOC's size with 30 detections each take less than their part of 2 minutes."""
    generator = np.random.default_rng(0)
    masks = torch.from_numpy(blobs(generator, 30))
    codes = mask_utils.encode(np.asfortranarray(masks[:4].numpy().transpose(1, 2, 0), np.uint8))
    size = dict(height=375, width=500)
    images = [dict(id=index, file_name=f"{index}.jpg", **size) for index in range(60)]
    objects = [
        annotation(
            4 * image["id"] + index, image["id"], 7, {**code, "counts": code["counts"].decode()}
        )
        for image in images
        for index, code in enumerate(codes)
    ]
    voc = metric(tmp_path, {**dataset(), "images": images, "annotations": objects}, matcher=matcher)
    instances = dict(
        masks=masks, labels=torch.zeros(30, dtype=torch.long), scores=torch.linspace(1, 0, 30)
    )
    start = time.process_time()
    for image in images:
        voc.process({}, [dict(img_id=image["id"], pred_instances=instances)])
    results = voc.evaluate(60)
    assert time.process_time() - start < 120 * 60 / 1449
    assert results["voc_instance/AP_50"] == 1
