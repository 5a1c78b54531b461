"""The assignment of priors against mmdet's own, which loops over the objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.models.task_modules import DynamicSoftLabelAssigner
from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
from mmengine.structures import InstanceData

from mmdet_discobox.models.networks.rtmdet_ins.prior_assignment import (
    assign_priors,
    nearest_priors,
)
from mmdet_discobox.structures import BoxObjects

CLASSES = 3
SIDE = 128
SETTINGS = dict(topk=13, iou_weight=3.0, soft_center_radius=3.0)


@pytest.fixture(scope="module")
def priors():
    sizes = [(SIDE // stride, SIDE // stride) for stride in (8, 16, 32)]
    generator = MlvlPointGenerator(strides=[8, 16, 32], offset=0)
    return torch.cat(generator.grid_priors(sizes, device="cpu", with_stride=True))


def objects_of(boxes, image_inds=None, num_images=1):
    boxes = torch.as_tensor(np.asarray(boxes), dtype=torch.float32).reshape(-1, 4)
    image_inds = [0] * len(boxes) if image_inds is None else image_inds
    return BoxObjects(
        boxes=boxes,
        labels=torch.arange(len(boxes)) % CLASSES,
        image_inds=torch.as_tensor(image_inds, dtype=torch.long),
        image_sizes=torch.full((num_images, 2), float(SIDE)),
        image_ids=torch.zeros(len(boxes), dtype=torch.long),
    )


def random_boxes(count, rng):
    corners = np.sort(rng.uniform(0, SIDE, (count, 2, 2)), axis=1)
    return corners.reshape(-1, 4)


def predictions(objects, priors, rng, noise=6.0):
    """Class logits and boxes; each prior predicts an object of its image or a random box."""
    boxes, logits = [], []
    for image in range(len(objects.image_sizes)):
        own = torch.cat([objects.boxes[objects.image_inds == image],
                         torch.as_tensor(random_boxes(2, rng), dtype=torch.float32)])  # fmt: skip
        chosen = own[rng.integers(0, len(own), len(priors))]
        boxes.append(chosen + noise * torch.as_tensor(rng.normal(size=(len(priors), 4))))
        logits.append(torch.as_tensor(rng.normal(-1, 2, (len(priors), CLASSES))))
    return torch.stack(logits).float(), torch.stack(boxes).float()


def check_against_mmdet(objects, priors, logits, boxes):
    """All objects have one prior that is in no box, so that none is reserved."""
    far = torch.tensor([[-1e3, -1e3, 8.0, 8.0]])
    priors = torch.cat([priors, far])
    logits = torch.cat([logits, logits[:, :1]], 1)
    boxes = torch.cat([boxes, boxes[:, :1]], 1)
    nearest = objects.labels.new_full((len(objects),), len(priors) - 1)
    ours = assign_priors(objects, priors, logits, boxes, nearest, **SETTINGS)
    found = []
    for image in range(len(objects.image_sizes)):
        inds = (objects.image_inds == image).nonzero()[:, 0]
        truth = InstanceData(bboxes=objects.boxes[inds], labels=objects.labels[inds])
        predicted = InstanceData(scores=logits[image], bboxes=boxes[image], priors=priors)
        result = DynamicSoftLabelAssigner(**SETTINGS).assign(predicted, truth)
        positive = result.gt_inds > 0
        assert torch.equal(ours.labels[image], torch.where(positive, result.labels, CLASSES))
        expected = torch.where(positive, result.max_overlaps, 0)
        torch.testing.assert_close(ours.qualities[image], expected, rtol=0, atol=1e-6)
        assert ours.positives.image_counts[image] == positive.sum() + len(inds)
        places = positive.nonzero()[:, 0]
        owners = inds[result.gt_inds[places] - 1]
        found += sorted(zip(owners.tolist(), places.tolist(), strict=True))
    kept = ours.positives.place_inds < len(priors) - 1
    pairs = zip(
        ours.positives.object_inds[kept].tolist(),
        ours.positives.place_inds[kept].tolist(),
        strict=True,
    )
    assert list(pairs) == found
    assert not ours.weights[~kept].any()
    return ours, len(found)


@pytest.mark.parametrize("seed", range(8))
def test_random_objects_get_the_priors_of_mmdet(priors, seed):
    rng = np.random.default_rng(seed)
    counts = (4, 0, 12)
    objects = objects_of(random_boxes(16, rng), np.repeat(range(3), counts), 3)
    logits, boxes = predictions(objects, priors, rng)
    _ours, found = check_against_mmdet(objects, priors, logits, boxes)
    assert found > 20


def test_of_equal_objects_the_first_wins_every_prior(priors):
    rng = np.random.default_rng(0)
    objects = objects_of([[20, 20, 90, 80]] * 2)
    objects.labels.zero_()
    logits, boxes = predictions(objects, priors, rng)
    ours, found = check_against_mmdet(objects, priors, logits, boxes)
    assert found > 1
    assert set(ours.positives.object_inds[ours.weights > 0].tolist()) == {0}


def test_a_nearest_prior_trains_its_own_object_alone(priors):
    """mmdet gives the prior at the centre of a small object to a large one that predicts it."""
    objects = objects_of([[0, 0, 128, 128], [52, 52, 78, 78]])
    nearest = nearest_priors(objects, priors)
    logits = 0.01 * torch.randn(1, len(priors), CLASSES, generator=torch.Generator().manual_seed(0))
    boxes = objects.boxes[:1].expand(1, len(priors), 4)
    stock, _ = check_against_mmdet(objects, priors, logits, boxes)
    assert (stock.positives.object_inds[stock.positives.place_inds == nearest[1]] == 0).any()
    ours = assign_priors(objects, priors, logits, boxes, nearest, **SETTINGS)
    at_place = ours.positives.place_inds == nearest[1]
    assert ours.positives.object_inds[at_place].tolist() == [1]
    assert ours.labels[0, nearest[1]] in (objects.labels[1], CLASSES)
    for index in (0, 1):
        pair = (ours.positives.object_inds == index) & (ours.positives.place_inds == nearest[index])
        assert pair.sum() == 1


def test_every_object_has_a_positive_prior(priors):
    rng = np.random.default_rng(3)
    tiny = np.array([[x + 1, y + 1, x + 2, y + 2] for x in (8, 24) for y in (8, 40)])
    objects = objects_of(np.concatenate([random_boxes(20, rng), tiny, [[30, 30, 30, 30]]]))
    logits, boxes = predictions(objects, priors, rng)
    nearest = nearest_priors(objects, priors)
    ours = assign_priors(objects, priors, logits, boxes, nearest, **SETTINGS)
    assert set(ours.positives.object_inds.tolist()) == set(range(25))
    assert ours.positives.image_counts == [len(ours.positives.object_inds)]
    assert ours.positives.object_inds.tolist() == sorted(ours.positives.object_inds.tolist())


@pytest.mark.parametrize(
    ("box", "stride"),
    [
        ((40, 40, 60, 60), 8),
        ((20, 20, 20 + 64, 20 + 64), 8),
        ((0, 0, 100, 100), 16),
        ((0, 0, 128, 128), 16),
        ((0, 30, 16, 31), 8),
    ],
)
def test_the_nearest_prior_by_a_loop(priors, box, stride):
    centre = torch.tensor([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    (found,) = nearest_priors(objects_of([box]), priors)
    level = [i for i in range(len(priors)) if priors[i, 2] == stride]
    distances = [(priors[i, :2] - centre).norm().item() for i in level]
    assert priors[found, 2] == stride
    assert (priors[found, :2] - centre).norm().item() == pytest.approx(min(distances))


def test_large_objects_are_on_the_coarsest_level():
    generator = MlvlPointGenerator(strides=[8, 16, 32], offset=0)
    priors = torch.cat(
        generator.grid_priors([(80, 80), (40, 40), (20, 20)], device="cpu", with_stride=True)
    )
    for side, stride in ((70, 8), (110, 16), (200, 32), (640, 32)):
        (found,) = nearest_priors(objects_of([[0, 0, side, side]]), priors)
        assert priors[found, 2] == stride


def test_padding_is_not_counted(priors):
    objects = objects_of([[10, 10, 60, 60]])
    objects.image_sizes[0] = torch.tensor([64.0, 96.0])
    logits, boxes = predictions(objects, priors, np.random.default_rng(0))
    nearest = nearest_priors(objects, priors)
    ours = assign_priors(objects, priors, logits, boxes, nearest, **SETTINGS)
    expected = (priors[:, 0] < 96) & (priors[:, 1] < 64)
    assert torch.equal(ours.counted[0], expected)
    assert not (ours.labels[0, ~expected] < CLASSES).any()


def test_a_batch_without_objects_is_background(priors):
    objects = objects_of([], [], 2)
    logits, boxes = predictions(objects, priors, np.random.default_rng(0))
    nearest = nearest_priors(objects, priors)
    ours = assign_priors(objects, priors, logits, boxes, nearest, **SETTINGS)
    assert (ours.labels == CLASSES).all()
    assert not ours.qualities.any()
    assert ours.positives.image_counts == [0, 0]
    assert len(ours.positives.object_inds) == len(ours.weights) == 0
