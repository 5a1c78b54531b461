"""The records of a batch: what is collected, and what is averaged."""

from __future__ import annotations

import copy
import dataclasses
import zlib

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_discobox.structures import BoxObjects, MaskProposals


def sample(boxes, labels, size):
    result = DetDataSample(metainfo=dict(img_shape=size))
    result.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.long)
    )
    return result


SAMPLES = [
    sample([[1.0, 2.0, 30.0, 40.0], [-5.0, -6.0, 99.0, 8.0]], [3, 0], (50, 60)),
    sample([], [], (20, 30)),
    sample([[0.0, 10.0, 64.0, 99.0]], [1], (64, 32, 3)),
]


def test_images_are_concatenated_in_order_and_boxes_clipped_to_their_own_image():
    objects = BoxObjects.from_samples(SAMPLES)
    assert objects.boxes.tolist() == [[1, 2, 30, 40], [0, 0, 60, 8], [0, 10, 32, 64]]
    assert objects.labels.tolist() == [3, 0, 1]
    assert objects.image_inds.tolist() == [0, 0, 2]
    assert objects.image_sizes.tolist() == [[50, 60], [20, 30], [64, 32]]
    assert len(objects) == 3


def test_ids_of_images_are_numbers_or_checksums_of_names():
    samples = [sample([[1.0, 2.0, 30.0, 40.0]] * 2, [0, 0], (50, 60)) for _ in range(3)]
    samples[0].set_metainfo(dict(img_id=2**40 + 1))
    samples[1].set_metainfo(dict(img_id="2007_000032"))
    expected = [2**40 + 1] * 2 + [zlib.crc32(b"2007_000032")] * 2 + [-1] * 2
    objects = BoxObjects.from_samples(samples)
    assert objects.image_ids.tolist() == expected
    assert objects.image_ids.dtype == torch.long


def test_boxes_beyond_the_image_are_clipped_at_both_ends():
    objects = BoxObjects.from_samples([sample([[70.0, -9.0, 80.0, -1.0]], [0], (50, 60))])
    assert objects.boxes.tolist() == [[60, 0, 60, 0]]


def test_samples_are_left_as_they_were():
    before = SAMPLES[0].gt_instances.bboxes.clone()
    BoxObjects.from_samples(SAMPLES)
    assert torch.equal(SAMPLES[0].gt_instances.bboxes, before)


def test_ignored_boxes_and_masks_are_not_collected():
    one = sample([[1.0, 2.0, 30.0, 40.0]], [3], (50, 60))
    one.gt_instances.masks = ["not a mask"]
    one.ignored_instances = InstanceData(bboxes=torch.ones(2, 4), labels=torch.ones(2).long())
    assert len(BoxObjects.from_samples([one])) == 1


def test_images_without_boxes():
    objects = BoxObjects.from_samples([SAMPLES[1]] * 2)
    assert len(objects) == 0
    assert objects.boxes.shape == (0, 4)
    assert objects.image_inds.dtype == torch.long
    assert objects.image_sizes.shape == (2, 2)


def test_cut_sides_are_collected_where_there_are_some():
    assert BoxObjects.from_samples(SAMPLES).cut_sides is None
    cut = torch.tensor([[False, True, False, False], [True, False, False, True]])
    samples = [copy.deepcopy(one) for one in SAMPLES]
    samples[0].gt_instances.cut_sides = cut
    objects = BoxObjects.from_samples(samples)
    assert objects.cut_sides.tolist() == [*cut.tolist(), [False] * 4]
    assert objects[1:].to("cpu").cut_sides.tolist() == [cut[1].tolist(), [False] * 4]
    record = dataclasses.replace(proposals(), objects=objects)
    assert torch.equal(record.cut_sides, objects.cut_sides[[2, 0, 2, 2]])
    assert proposals().cut_sides is None


def proposals(object_inds=(2, 0, 2, 2)):
    logits = torch.randn(len(object_inds), 3, 4, generator=torch.Generator().manual_seed(0))
    return MaskProposals(
        logits=logits,
        object_inds=torch.tensor(object_inds, dtype=torch.long),
        objects=BoxObjects.from_samples(SAMPLES),
        stride=4,
    )


def test_proposals_carry_what_their_object_has():
    record = proposals()
    assert len(record) == 4
    assert record.boxes[0].tolist() == [0, 10, 32, 64]
    assert record.boxes[1].tolist() == [1, 2, 30, 40]
    assert record.labels.tolist() == [1, 3, 1, 1]
    assert record.image_inds.tolist() == [2, 0, 2, 2]


def test_logits_are_averaged_per_object():
    record = proposals()
    logits, predicted = record.per_object()
    assert predicted.tolist() == [True, False, True]
    assert torch.equal(logits[0], record.logits[1])
    assert not logits[1].any()
    assert torch.allclose(logits[2], record.logits[[0, 2, 3]].mean(0))


def test_the_average_does_not_depend_on_the_order_of_the_proposals():
    record, order = proposals(), torch.tensor([3, 1, 0, 2])
    shuffled = dataclasses.replace(
        record, logits=record.logits[order], object_inds=record.object_inds[order]
    )
    assert torch.allclose(shuffled.per_object()[0], record.per_object()[0])


def test_half_precision_is_averaged_in_single():
    record = proposals()
    half = dataclasses.replace(record, logits=record.logits.bfloat16())
    logits, _ = half.per_object()
    assert logits.dtype == torch.float32
    assert torch.allclose(logits[2], half.logits[[0, 2, 3]].float().mean(0))


def test_no_proposals():
    logits, predicted = proposals(()).per_object()
    assert logits.shape == (3, 3, 4)
    assert not logits.any()
    assert not predicted.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(boxes=torch.zeros(3, 5)), r"Expected `boxes` of shape \(G, 4\)"),
        (dict(labels=torch.zeros(2)), r"Expected `labels` of shape \(G\) with G = 3"),
        (dict(image_inds=torch.zeros(3, 1)), r"Expected `image_inds` of shape \(G\)"),
        (dict(cut_sides=torch.zeros(2, 4)), r"Expected `cut_sides` of shape \(G, 4\) with G = 3"),
        (dict(image_sizes=torch.zeros(3, 3)), r"Expected `image_sizes` of shape \(B, 2\)"),
    ],
)
def test_wrong_objects(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BoxObjects.from_samples(SAMPLES), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(logits=torch.zeros(4, 3)), r"Expected `logits` of shape \(N, H, W\)"),
        (dict(object_inds=torch.zeros(3).long()), r"Expected `object_inds` .* with N = 4"),
    ],
)
def test_wrong_proposals(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(proposals(), **change)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        proposals().stride = 8
