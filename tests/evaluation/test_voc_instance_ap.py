"""VOC's mask AP against brute force on dense masks, and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmdet_discobox.evaluation.mask_matching import MATCHERS
from mmdet_discobox.evaluation.voc_instance_ap import (
    Detections,
    Objects,
    average_precisions,
    evaluate_image,
)

THRESHOLDS = (0.25, 0.5, 0.7, 0.75)
CLASSES = 3


def encode(masks):
    return [mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def integers(values):
    return np.array(values, dtype=np.int64)


def objects(masks, labels, crowd=None):
    crowd = np.zeros(len(labels), bool) if crowd is None else np.array(crowd)
    return Objects(encode(masks), integers(labels), crowd)


def detections(masks, labels, scores):
    return Detections(encode(masks), integers(labels), np.array(scores, dtype=float))


def row(*pixels, length=10):
    mask = np.zeros((1, length), bool)
    mask[0, list(pixels)] = True
    return mask


def precisions(images, matcher, thresholds=THRESHOLDS, num_classes=CLASSES):
    evaluated = [
        evaluate_image(
            found, there, num_classes=num_classes, thresholds=thresholds, matcher=matcher
        )
        for found, there in images
    ]
    return average_precisions(evaluated, num_classes=num_classes, num_thresholds=len(thresholds))


def random_image(generator, num_objects, num_detections):
    """Disjoint objects, and detections that are noisy copies of them, as dense masks."""
    canvas = generator.integers(0, num_objects + 1, (5, 6))
    there = [canvas == index + 1 for index in range(num_objects)]
    labels = generator.integers(0, CLASSES, num_objects)
    source = generator.integers(0, num_objects, num_detections)
    found = [there[index] ^ (generator.random((5, 6)) < 0.1) for index in source]
    found_labels = np.where(generator.random(num_detections) < 0.8, labels[source], 0)
    return found, found_labels, generator.random(num_detections), there, labels


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def brute_force(images, label, threshold, matcher):
    """One list of detections over all images, then the area point by point."""
    ranked = sorted(
        (-score, number, mask)
        for number, (masks, labels, scores, _, _) in enumerate(images)
        for mask, found, score in zip(masks, labels, scores, strict=True)
        if found == label
    )
    taken, hits = set(), []
    for _, number, mask in ranked:
        there, labels = images[number][3:]
        candidates = [
            (iou(mask, there[index]), -index)
            for index in np.flatnonzero(labels == label)
            if matcher == "sds" or (number, index) not in taken
        ]
        best, index = max(candidates, default=(-1.0, 0))
        enough = best >= threshold if matcher == "sds" else best > threshold
        hits.append(enough and (number, -index) not in taken)
        if hits[-1]:
            taken.add((number, -index))
    total = sum(int((image[4] == label).sum()) for image in images)
    if not total:
        return np.nan
    points = [
        (sum(hits[: rank + 1]) / total, sum(hits[: rank + 1]) / (rank + 1))
        for rank in range(len(hits))
    ]
    area = 0.0
    for step in range(1, total + 1):
        area += max((p for recall, p in points if recall >= step / total), default=0.0) / total
    return area


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_brute_force(matcher, seed):
    generator = np.random.default_rng(seed)
    images = [random_image(generator, 3, 7) for _ in range(5)]
    pairs = [(detections(*image[:3]), objects(*image[3:])) for image in images]
    expected = [
        [brute_force(images, label, threshold, matcher) for label in range(CLASSES)]
        for threshold in THRESHOLDS
    ]
    actual = precisions(pairs, matcher)
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    assert 0 < np.nanmean(actual) < 1
    np.testing.assert_allclose(precisions(pairs[::-1], matcher), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("thresholds", "found", "sds", "bbtp"),
    [
        ([0.25], [range(7), range(7)], 1 / 2, 1.0),
        ([0.5], [range(2)], 1 / 2, 0.0),
    ],
)
def test_the_documented_examples(thresholds, found, sds, bbtp):
    """A has the first four of seven pixels, B the last three."""
    there = objects([row(*range(4), length=7), row(*range(4, 7), length=7)], [0, 0])
    masks = [row(*pixels, length=7) for pixels in found]
    image = (detections(masks, [0] * len(masks), [0.9, 0.8][: len(masks)]), there)
    for matcher, expected in (("sds", sds), ("bbtp", bbtp)):
        actual = precisions([image], matcher, thresholds, num_classes=1)
        assert actual.item() == pytest.approx(expected)


def test_the_area_is_monotone_from_the_right():
    """Hit, miss, hit of three objects: precision 1, 1/2, 2/3; area 1/3 * 1 + 1/3 * 2/3."""
    there = objects([row(0), row(1), row(2)], [0, 0, 0])
    found = detections([row(0), row(9), row(1)], [0, 0, 0], [0.9, 0.8, 0.7])
    assert precisions([(found, there)], "sds", [0.5], 1).item() == pytest.approx(5 / 9)


@pytest.mark.parametrize("matcher", MATCHERS)
def test_a_detection_on_a_crowd_is_ignored(matcher):
    """The best detection is inside the crowd region; another, half outside, is a false positive."""
    there = objects([row(0), row(5, 6, 7, 8)], [0, 0], [False, True])
    inside, half, hit = row(5, 6), row(8, 9), row(0)
    alone = detections([inside, hit], [0, 0], [0.9, 0.5])
    assert precisions([(alone, there)], matcher, [0.75], 1).item() == 1
    both = detections([inside, half, hit], [0, 0, 0], [0.9, 0.8, 0.5])
    assert precisions([(both, there)], matcher, [0.75], 1).item() == pytest.approx(1 / 2)
    plain = there._replace(crowd=np.zeros(2, bool))
    assert precisions([(alone, plain)], matcher, [0.75], 1).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("matcher", MATCHERS)
def test_images_without_detections_or_objects(matcher):
    nothing = (detections([], [], []), objects([], []))
    missed = (detections([], [], []), objects([row(0)], [0]))
    wrong = (detections([row(0)], [1], [0.9]), objects([], []))
    found = (detections([row(0)], [0], [0.5]), objects([row(0)], [0]))
    actual = precisions([nothing, missed, wrong, found], matcher)
    np.testing.assert_array_equal(actual, [[0.5, np.nan, np.nan]] * len(THRESHOLDS))
    assert np.isnan(precisions([], matcher)).all()


def test_masks_of_another_size():
    image = (detections([row(0, length=9)], [0], [0.5]), objects([row(0)], [0]))
    with pytest.raises(ValueError, match="masks of an image to have one size.*original image"):
        precisions([image], "sds")
