"""Image pairs with several objects, and predictions for them from perfect to random."""

from __future__ import annotations

import numpy as np

from mmdet_discobox.evaluation import MultiObjectCorrespondenceMetric

NAMES = ["AP", "AP_0.75", "AP_1", "AP_1.5", "AP_2", "AP_3"]
POINTS = 5


def side(rng, count, scale, labels):
    """Objects in a row, 100 pixels of `scale` wide, whose points are anywhere in them."""
    corner = np.stack([np.arange(count) * 150.0, np.zeros(count)], 1) * scale
    boxes = np.concatenate([corner, corner + 100 * scale], 1)
    keypoints = corner[:, None] + rng.uniform(0, 100 * scale, (count, POINTS, 2))
    visible = rng.random((count, POINTS)) < 0.7
    visible[:, 0] = True
    return {"boxes": boxes, "labels": labels, "keypoints": keypoints, "visible": visible}


def image_pair(seed, *, scale=2.0):
    """Two objects of class 0 and one of class 1 in both images; one pair of the four is ignored."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 1])
    return {
        "source": side(rng, 3, 1.0, labels),
        "target": side(rng, 3, scale, labels),
        "object_pairs": np.array([[0, 0], [0, 1], [1, 0], [2, 2]]),
    }


def predicted(sample, pairs, correspond, score):
    source, target = sample["source"], sample["target"]
    return [
        {
            "source_box": source["boxes"][s],
            "target_box": target["boxes"][t],
            "label": source["labels"][s],
            "correspondences": correspond(s, t),
            "score": score,
        }
        for s, t in pairs
    ]


def perfect(sample, *, score=0.5):
    """The key points of all pairs, also of the one to be ignored, and points far from all."""

    def points(s, t):
        ends = [sample[name]["keypoints"][i] for name, i in (("source", s), ("target", t))]
        true = np.concatenate(ends, 1)
        return np.concatenate([true, np.full((7, 4), -999.0)])

    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]
    return {**sample, "predicted_pairs": predicted(sample, pairs, points, score)}


def grid(box, cells):
    steps = (np.arange(cells) + 0.5) / cells
    unit = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    return box[:2] + unit * (box[2:] - box[:2])


def guessed(sample, seed, *, cells=28):
    rng = np.random.default_rng(seed)

    def points(s, t):
        ends = [grid(sample[k]["boxes"][i], cells) for k, i in (("source", s), ("target", t))]
        return np.concatenate([ends[0], rng.permutation(ends[1])], 1)

    pairs = sample["object_pairs"].tolist()
    return {**sample, "predicted_pairs": predicted(sample, pairs, points, rng.random())}


def evaluate(samples, **settings):
    metric = MultiObjectCorrespondenceMetric(**settings)
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def aps(samples, **settings):
    return np.array([evaluate(samples, **settings)[f"multi_object/{name}"] for name in NAMES])
