"""The assignment of anchors against mmdet's own, which loops over the objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.models.task_modules import MaxIoUAssigner
from mmengine.config import Config
from mmengine.structures import InstanceData
from tiny import build, tiny_yolact
from tiny_detectors import CONFIGS

from mmdet_discobox.models.networks.yolact.anchor_assignment import (
    assign_anchors,
    check_assignment,
    flatten_levels,
)
from mmdet_discobox.structures import BoxObjects

CLASSES = 3
SIDE = 96


def objects_of(boxes, image_inds, num_images):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return BoxObjects(
        boxes=boxes,
        labels=torch.arange(len(boxes)) % CLASSES,
        image_inds=torch.as_tensor(image_inds, dtype=torch.long),
        image_sizes=torch.full((num_images, 2), float(SIDE)),
        image_ids=torch.zeros(len(boxes), dtype=torch.long),
    )


def random_boxes(count, rng):
    corners = np.sort(rng.uniform(0, SIDE, (count, 2, 2)), axis=1)
    return torch.as_tensor(corners.reshape(-1, 4), dtype=torch.float32)


def assign(objects, anchors, min_pos_iou=0.0):
    return assign_anchors(
        objects,
        anchors,
        pos_iou_thr=0.5,
        neg_iou_thr=0.4,
        min_pos_iou=min_pos_iou,
        num_classes=CLASSES,
    )


def check_against_mmdet(objects, anchors, min_pos_iou=0.0):
    ours = assign(objects, anchors, min_pos_iou)
    stock = MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=min_pos_iou,
                           gt_max_assign_all=False)  # fmt: skip
    pairs = []
    for image in range(len(objects.image_sizes)):
        inds = (objects.image_inds == image).nonzero()[:, 0]
        truth = InstanceData(bboxes=objects.boxes[inds], labels=objects.labels[inds])
        result = stock.assign(InstanceData(priors=anchors), truth)
        positive = result.gt_inds > 0
        assert torch.equal(ours.counted[image], result.gt_inds >= 0)
        assert torch.equal(ours.labels[image], torch.where(positive, result.labels, CLASSES))
        assert ours.image_counts[image] == positive.sum()
        anchor_inds = positive.nonzero()[:, 0]
        owners = inds[result.gt_inds[anchor_inds] - 1]
        pairs += sorted(zip(owners.tolist(), anchor_inds.tolist(), strict=True))
    assert list(zip(ours.object_inds.tolist(), ours.place_inds.tolist(), strict=True)) == pairs
    return ours


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_pos_iou", [0.0, 0.3])
def test_random_objects_go_to_the_anchors_of_mmdet(seed, min_pos_iou):
    rng = np.random.default_rng(seed)
    counts = (4, 0, 12)
    objects = objects_of(random_boxes(16, rng), np.repeat(range(3), counts), 3)
    ours = check_against_mmdet(objects, random_boxes(400, rng), min_pos_iou)
    assert sum(ours.image_counts) >= 10


def test_objects_with_the_same_best_anchor():
    anchors = torch.tensor([[10.0, 10.0, 30.0, 30.0], [60.0, 60.0, 90.0, 90.0]])
    boxes = [[10, 10, 30, 30], [10, 10, 30, 30], [12, 10, 30, 31], [61, 60, 90, 90]]
    objects = objects_of(boxes, [0, 0, 0, 0], 1)
    ours = check_against_mmdet(objects, anchors)
    assert ours.object_inds.tolist() == [2, 3]  # the last of three takes it


def test_equal_overlaps_go_to_the_first():
    anchors = torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 20.0, 16.0]])
    objects = objects_of([[0, 0, 20, 20], [0, 0, 20, 20]], [0, 0], 1)
    ours = check_against_mmdet(objects, anchors)
    # the first object has the anchor that both merely overlap, the second the one both need
    assert ours.object_inds.tolist() == [0, 1]
    assert ours.place_inds.tolist() == [1, 0]


def test_a_batch_without_objects_is_background():
    ours = assign(objects_of([], [], 2), random_boxes(50, np.random.default_rng(0)))
    assert (ours.labels == CLASSES).all()
    assert ours.counted.all()
    assert ours.image_counts == [0, 0]
    assert len(ours.subsample(5).object_inds) == 0


def test_subsampling_keeps_a_share_of_every_object():
    anchors = torch.tensor([[0.0, 0.0, 30.0, 30.0]]).repeat(60, 1)
    anchors[40:] += 50
    boxes = [[0, 0, 30, 30], [50, 50, 80, 80], [50, 50, 80, 80]]
    ours = assign(objects_of(boxes, [0, 0, 1], 2), anchors)
    assert ours.image_counts == [60, 20]
    subset = ours.subsample(30)
    assert subset.image_counts == [30, 20]
    assert subset.object_inds.bincount().tolist() == [20, 10, 20]
    assert len(set(zip(subset.object_inds.tolist(), subset.place_inds.tolist(), strict=True))) == 50
    assert torch.equal(subset.labels, ours.labels)
    assert torch.equal(ours.subsample(60).place_inds, ours.place_inds)


def test_predictions_are_in_the_order_of_the_anchors():
    levels = [torch.randn(2, 3 * 4, 5, 6), torch.randn(2, 3 * 4, 2, 3)]
    flat = flatten_levels(levels, 4)
    assert flat.shape == (2, 3 * (30 + 6), 4)
    row, col, anchor = 1, 2, 2
    index = 3 * 30 + (row * 3 + col) * 3 + anchor
    assert torch.equal(flat[1, index], levels[1][1, 4 * anchor : 4 * anchor + 4, row, col])


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("assigner", dict(type="GridAssigner"), "assigner.type='MaxIoUAssigner'"),
        ("assigner", dict(neg_iou_thr=(0.1, 0.4)), "a number as assigner.neg_iou_thr"),
        ("assigner", dict(gt_max_assign_all=True), "assigner.gt_max_assign_all=False"),
        ("assigner", dict(match_low_quality=False), "assigner.match_low_quality=True"),
        ("assigner", dict(ignore_iof_thr=0.5), "assigner.ignore_iof_thr=-1"),
        ("assigner", dict(iou_calculator=dict(type="BboxDistanceMetric")), "no .*iou_calculator"),
        ("assigner", dict(perm_repeat_gt_cfg=dict(iou_thr=0.7)), "no assigner.perm_repeat_gt_cfg"),
        ("sampler", dict(type="RandomSampler"), "sampler.type='PseudoSampler'"),
        ("", dict(allowed_border=0), "allowed_border=-1"),
        ("", dict(pos_weight=2.0), "pos_weight=-1"),
    ],
)
def test_settings_that_the_assignment_would_ignore_are_errors(part, change, named):
    config = tiny_yolact()
    settings = config.train_cfg[part] if part else config.train_cfg
    for key, value in change.items():
        settings[key] = value
    with pytest.raises(ValueError, match=f"^Expected {named} in `train_cfg` of a DiscoBoxYOLACTH"):
        check_assignment(config.train_cfg)


def test_left_out_settings_have_the_defaults_of_mmdet():
    config = tiny_yolact().train_cfg
    del config.sampler, config.allowed_border, config.pos_weight, config.assigner.ignore_iof_thr
    config.assigner.update(type=MaxIoUAssigner, iou_calculator=dict(type="BboxOverlaps2D"))
    check_assignment(config)
    del config.assigner.gt_max_assign_all  # True in mmdet
    with pytest.raises(ValueError, match="Expected assigner.gt_max_assign_all=False in"):
        check_assignment(config)


@pytest.mark.parametrize("path", sorted((CONFIGS / "yolact").glob("*.py")), ids=lambda p: p.stem)
def test_the_settings_of_mmdet_are_accepted(path):
    check_assignment(Config.fromfile(path).model.train_cfg)


def test_the_head_checks_its_settings():
    config = tiny_yolact()
    config.train_cfg.assigner.match_low_quality = False
    with pytest.raises(ValueError, match="Expected assigner.match_low_quality=True"):
        build(config)
