"""Merging the predictions of flipped and scaled views."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import TestTimeAug as Views
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from tiny import NETWORKS, batch, build
from torch import nn

from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.detectors import InstanceTTAModel
from mmdet_discobox.models.detectors.instance_tta import cluster_views

FIELDS = ("bboxes", "scores", "labels", "masks")
SIZE = (50, 71)


class Readout(nn.Module):
    """A detector that reads its objects from the image: class and score of the value `v` are `v`.

    It is as symmetric as its image, and predicts in original pixels like any detector of mmdet.
    """

    with_bbox = True

    def test_step(self, data):
        return [
            self.read(image, sample)
            for image, sample in zip(data["inputs"], data["data_samples"], strict=True)
        ]

    def read(self, image, sample):
        image = F.interpolate(image[None, :1].float(), sample.ori_shape[:2])[0, 0]
        values = image.unique()
        values = values[values > 0]
        masks = image == values[:, None, None]
        sample.pred_instances = InstanceData(
            masks=masks, bboxes=masks_to_boxes(masks), scores=values / 255, labels=values.long()
        )
        return sample


def views_of(image, flips=(None, "horizontal"), scales=(SIZE,), meta=("flip", "flip_direction")):
    """The views of an image, as a data loader collates them."""
    keys = ("ori_shape", "img_shape", "scale_factor", *meta)
    transforms = [
        [
            dict(
                type="mmdet.Resize",
                scale=scale[::-1],
                keep_ratio=False,
                interpolation="nearest",
            )
            for scale in scales
        ],
        [
            dict(
                type="mmdet.RandomFlip",
                prob=float(flip is not None),
                direction=flip or "horizontal",
            )
            for flip in flips
        ],
        [dict(type="mmdet.PackDetInputs", meta_keys=keys)],
    ]
    results = dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
    return pseudo_collate([Views(transforms)(results)])


def image_of_objects():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[5:30, 3:20] = 200
    image[20:45, 10:18] = 100  # an L
    image[10:20, 40:70] = 240
    return image


def assert_same(found, expected):
    order = expected.scores.argsort(descending=True, stable=True)
    for field in FIELDS:
        torch.testing.assert_close(
            found[field], expected[field][order], rtol=1e-6, atol=1e-4, check_dtype=False
        )


def planted(scores, masks, *, labels=None, flip=False):
    masks = torch.as_tensor(masks, dtype=torch.bool)
    sample = DetDataSample(metainfo=dict(flip=flip, flip_direction="horizontal" if flip else None))
    sample.set_metainfo(dict(ori_shape=tuple(masks.shape[1:])))
    sample.pred_instances = InstanceData(
        masks=masks,
        bboxes=masks_to_boxes(masks),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels or [0] * len(scores)),
    )
    return sample


def merge(*samples, **settings):
    return InstanceTTAModel(module=Readout(), **settings).merge_preds([samples])[0].pred_instances


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_equal_views_give_the_plain_predictions(network, views):
    model = build(network()).eval()
    data = batch((2, 1))
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(flip=False, flip_direction=None))
    repeated = {key: [copy.deepcopy(value) for _ in range(views)] for key, value in data.items()}
    with torch.no_grad():
        plain = model.test_step(data)
        merged = InstanceTTAModel(module=model).test_step(repeated)
    for found, expected in zip(merged, plain, strict=True):
        assert len(expected.pred_instances)
        assert_same(found.pred_instances, expected.pred_instances)


def test_scores_of_masks_are_merged_as_scores_are():
    masks = torch.zeros(1, 4, 20, dtype=torch.bool)
    masks[:, :, :9] = True

    def view(score, of_mask=None):
        sample = planted([score], masks)
        if of_mask is not None:
            sample.pred_instances.mask_scores = torch.tensor([of_mask])
        return sample

    assert "mask_scores" not in merge(view(0.9), view(0.5))
    empty = planted([], masks[:0])  # as a YOLACT++ gives it
    found = merge(view(0.9, 0.6), view(0.5, 0.1), empty)
    assert found.mask_scores.tolist() == pytest.approx([0.7 / 3])
    assert found.scores.tolist() == pytest.approx([1.4 / 3])
    assert merge(view(0.9, 0.6)).mask_scores.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_a_symmetric_detector_has_the_same_masks_in_a_flipped_view(direction):
    image = image_of_objects()
    plain = InstanceTTAModel(module=Readout()).test_step(views_of(image, flips=(None,)))
    data = views_of(image, flips=(direction, None))
    merged = InstanceTTAModel(module=Readout()).test_step(data)
    assert len(plain[0].pred_instances) == 3
    assert_same(merged[0].pred_instances, plain[0].pred_instances)
    assert not merged[0].flip


def test_scaled_views_meet_in_the_original_image():
    image = image_of_objects()
    scales = (SIZE, tuple(2 * side for side in SIZE), (61, 60))
    flips = (None, "horizontal")
    merged = InstanceTTAModel(module=Readout()).test_step(views_of(image, flips, scales))
    found = merged[0].pred_instances
    assert found.labels.tolist() == [240, 200, 100]
    truth = torch.from_numpy(image[..., 0] == np.array([240, 200, 100])[:, None, None])
    ious = (found.masks & truth).sum((1, 2)) / (found.masks | truth).sum((1, 2))
    assert ious.min() > 0.9


def test_the_vote_is_weighted_by_the_scores():
    rows = torch.eye(3).bool()[:, None].repeat(1, 4, 1)
    base = torch.zeros(3, 4, 20, dtype=torch.bool)
    base[:, :, :15] = True
    base[:, :, 15:18] = rows  # each view has a column of its own
    base[1:, :, 18] = True  # and two of them share one
    scores = [0.9, 0.5, 0.3]
    found = merge(*(planted([s], base[i : i + 1]) for i, s in enumerate(scores)))
    assert found.scores.tolist() == pytest.approx([sum(scores) / 3])
    columns = found.masks[0].all(0).nonzero()[:, 0].tolist()
    assert columns == [*range(15), 15]  # 0.9 of 1.7 is a majority, 0.8 is not
    ends = [16, 19, 19]
    expected = sum(s * end for s, end in zip(scores, ends, strict=True)) / sum(scores)
    assert found.bboxes[0].tolist() == pytest.approx([0, 0, expected, 4])


def test_detections_without_a_score_are_merged_to_the_mean():
    masks = torch.zeros(1, 20, 20, dtype=torch.bool)
    masks[:, 4:16, 4:16] = True
    first, second = planted([0.0], masks), planted([0.0], masks)
    second.pred_instances.bboxes = first.pred_instances.bboxes + 2
    merged = merge(first, second)
    assert merged.scores.tolist() == [0]
    assert merged.bboxes.tolist() == [[5, 5, 17, 17]]
    assert torch.equal(merged.masks, masks)


def test_boxes_of_a_network_without_boxes_are_those_of_the_merged_masks():
    masks = torch.zeros(2, 1, 4, 20, dtype=torch.bool)
    masks[0, ..., 2:15] = True
    masks[1, ..., 2:17] = True
    model = InstanceTTAModel(module=Readout())
    model.module.with_bbox = False
    samples = [planted([0.9], masks[0]), planted([0.3], masks[1])]
    found = model.merge_preds([samples])[0].pred_instances
    assert found.bboxes.tolist() == [[2, 0, 15, 4]]


@pytest.mark.parametrize(("with_bbox", "count"), [(True, 1), (False, 2)])
def test_objects_are_matched_by_boxes_if_the_network_has_them(with_bbox, count):
    frame, diagonal = torch.ones(6, 6), torch.eye(6)  # one box, an IoU of 1/6
    model = InstanceTTAModel(module=Readout())
    model.module.with_bbox = with_bbox
    samples = [planted([0.8], frame[None]), planted([0.6], diagonal[None])]
    assert len(model.merge_preds([samples])[0].pred_instances) == count


def test_an_object_of_one_view_counts_less_and_classes_stay_apart():
    mask = torch.ones(1, 4, 6)
    found = merge(planted([0.8], mask, labels=[0]), planted([0.6], mask, labels=[1]))
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.4, 0.3])


def test_detections_of_one_view_stay_apart():
    masks = torch.ones(2, 4, 6)
    found = merge(planted([0.8, 0.7], masks), planted([0.6], masks[:1]))
    assert found.scores.tolist() == pytest.approx([0.7, 0.35])


def test_detections_with_empty_masks_are_matched_by_their_boxes():
    samples = [planted([0.8], torch.zeros(1, 4, 6)) for _ in range(2)]
    for sample in samples:
        sample.pred_instances.bboxes = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
    found = merge(*samples)
    assert found.scores.tolist() == pytest.approx([0.8])
    assert found.bboxes.tolist() == [[1, 1, 3, 3]]


@pytest.mark.parametrize("counts", [(0, 0), (0, 1)])
def test_views_without_detections(counts):
    views = [planted([0.5] * count, torch.ones(count, 4, 6)) for count in counts]
    views[0].pred_instances.labels = views[0].pred_instances.labels.float()  # as stock SOLOv2's
    found = merge(*views)
    assert len(found) == max(counts)
    assert found.masks.shape == (max(counts), 4, 6)
    assert found.labels.dtype == torch.long


def test_the_best_detections_are_kept():
    masks = torch.eye(5)[:, None]
    found = merge(planted([0.1, 0.5, 0.3, 0.4, 0.2], masks), max_per_img=2)
    assert found.scores.tolist() == pytest.approx([0.5, 0.4])
    assert found.masks[:, 0].nonzero()[:, 1].tolist() == [1, 3]


def test_groups_are_greedy_with_one_detection_of_each_view():
    #         view 0     view 1     view 2
    overlaps = [
        [-1.0, -1.0, 0.6, 0.8, 0.4],
        [-1.0, -1.0, 0.9, 0.7, 0.9],
        [0.6, 0.9, -1.0, -1.0, 0.9],
        [0.8, 0.7, -1.0, -1.0, 0.9],
        [0.4, 0.9, 0.9, 0.9, -1.0],
    ]
    groups = cluster_views(
        torch.tensor(overlaps),
        torch.tensor([0.9, 0.5, 0.6, 0.8, 0.1]),
        torch.tensor([0, 0, 1, 1, 2]),
        threshold=0.5,
    )
    assert [group.tolist() for group in groups] == [[0, 3], [2, 1, 4]]


def test_a_view_that_does_not_note_its_flip_is_an_error():
    with pytest.raises(ValueError, match="meta_keys"):
        InstanceTTAModel(module=Readout()).test_step(views_of(image_of_objects(), meta=()))


@pytest.mark.parametrize("masks", [None, torch.full((1, 4, 6), 127, dtype=torch.uint8)])
def test_predictions_without_boolean_masks_are_an_error(masks):
    sample = planted([0.5], torch.ones(1, 4, 6))
    del sample.pred_instances.masks
    if masks is not None:
        sample.pred_instances.masks = masks
    with pytest.raises(ValueError, match="boolean masks"):
        merge(sample)


@pytest.mark.parametrize("threshold", [0.0, 1.1])
def test_the_threshold_is_checked(threshold):
    with pytest.raises(ValueError, match="iou_threshold"):
        MODELS.build(dict(type="InstanceTTAModel", module=Readout(), iou_threshold=threshold))
