from __future__ import annotations

import math

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_discobox.evaluation import match_masks
from mmdet_discobox.evaluation.matched_masks import matched_overlaps


def naive(ious, threshold):
    """COCO's matching rule with plain loops."""
    found = [0.0] * ious.shape[1]
    for row in ious:
        best, where = threshold, None
        for g, iou in enumerate(row):
            if not found[g] and iou >= best and (where is None or iou > best):
                best, where = iou, g
        if where is not None:
            found[where] = best
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
def test_equals_naive_loops(seed, threshold):
    ious = np.random.default_rng(seed).uniform(0, 1, (7, 4))
    assert matched_overlaps(ious, threshold=threshold).tolist() == naive(ious, threshold)


def test_the_highest_score_is_matched_with_the_largest_iou():
    # the second would fit the first object better, but it is taken; the third may have the second
    ious = np.array([[0.6, 0.55], [0.9, 0.4], [0.7, 0.5]])
    assert matched_overlaps(ious).tolist() == [0.6, 0.5]
    assert matched_overlaps(ious, threshold=0.6).tolist() == [0.6, 0.0]
    assert matched_overlaps(np.zeros((0, 2))).tolist() == [0, 0]
    assert matched_overlaps(np.zeros((3, 0))).tolist() == []


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5])
def test_rejects_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match=r"Expected `threshold` to be in \(0, 1\] but got"):
        matched_overlaps(np.zeros((1, 1)), threshold=threshold)


def code(x, width, *, size=10):
    """Mask of some columns over all rows."""
    mask = np.zeros((size, size), dtype=np.uint8, order="F")
    mask[:, x : x + width] = 1
    found = mask_utils.encode(mask)
    return dict(found, counts=found["counts"].decode())


def truth_of(annotations):
    return dict(
        images=[dict(id=7, width=10, height=10), dict(id=8, width=10, height=10)],
        categories=[dict(id=1, name="a"), dict(id=2, name="b")],
        annotations=[
            dict(dict(id=i, iscrowd=0, bbox=[0, 0, 9, 9], area=50), **each)
            for i, each in enumerate(annotations, 1)
        ],
    )


def prediction(image, category, x, width, score):
    segmentation = code(x, width)
    return dict(image_id=image, category_id=category, segmentation=segmentation, score=score)


def test_matches_within_one_image_and_class():
    truth = truth_of(
        [
            dict(image_id=7, category_id=1, segmentation=[[0, 0, 4, 0, 4, 10, 0, 10]]),
            dict(image_id=7, category_id=2, segmentation=code(5, 4)),
            dict(image_id=8, category_id=1, segmentation=code(0, 4)),
            dict(image_id=8, category_id=1, segmentation=code(0, 10), iscrowd=1),
        ]
    )
    predictions = [
        prediction(7, 1, 0, 4, 0.2),  # exact, but the next has a higher score
        prediction(7, 1, 0, 5, 0.9),  # 4/5 of the first object
        prediction(7, 1, 5, 4, 0.9),  # exactly the second, of the wrong class
        prediction(7, 2, 5, 2, 0.1),  # 2/4: just enough
        prediction(8, 2, 0, 4, 0.9),  # the wrong class
    ]
    found = match_masks(truth, predictions)
    assert found.overlaps.tolist() == [0.8, 0.5, 0.0]
    assert found.mean_iou == pytest.approx(0.65)
    assert found.share == pytest.approx(2 / 3)
    nothing = match_masks(truth, [])
    assert math.isnan(nothing.mean_iou)
    assert nothing.share == 0
    assert math.isnan(match_masks(truth_of([]), predictions).share)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_matching_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    annotations = [
        dict(image_id=7 + i % 2, category_id=1 + i % 3 // 2, segmentation=code(x, w))
        for i, (x, w) in enumerate(zip(rng.integers(0, 5, 9), rng.integers(2, 6, 9), strict=True))
    ]
    predictions = [
        prediction(7 + i % 2, 1 + i % 2, int(rng.integers(0, 5)), int(rng.integers(2, 6)), score)
        for i, score in enumerate(rng.permutation(16) / 16)
    ]
    truth = truth_of(annotations)
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes([dict(each) for each in predictions]), "segm")
    evaluation.evaluate()
    pairs = {
        gt: int(dt)
        for image in evaluation.evalImgs
        if image and image["aRng"] == [0, 1e10]
        for gt, dt in zip(image["gtIds"], image["gtMatches"][0], strict=True)
    }
    overlaps = []
    for annotation in truth["annotations"]:
        if place := pairs[annotation["id"]]:  # a result has the number of its place, from 1
            codes = [predictions[place - 1]["segmentation"]], [annotation["segmentation"]]
            overlaps.append(float(mask_utils.iou(*codes, [0])[0, 0]))
        else:
            overlaps.append(0.0)
    assert sorted(match_masks(truth, predictions).overlaps) == pytest.approx(sorted(overlaps))
