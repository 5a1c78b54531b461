"""True masks of some objects beside the boxes of all: they hold for every task network."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from test_invariants import KEYS, OWN_KEYS, values
from tiny import batch, build, losses_of

from mmdet_discobox.functional import box_masks, consistency_dice
from mmdet_discobox.models.detectors import look, pseudo_label_images
from mmdet_discobox.models.teachers.truth import replace_by_truth
from mmdet_discobox.structures import BoxObjects, PartialMasks, PseudoMasks, TrueMasks

MIXED_KEYS = {"true_masks", "teacher_true_iou"}


@pytest.fixture(params=OWN_KEYS, ids=lambda tiny: tiny.__name__.removeprefix("tiny_"))
def tiny(request):
    return request.param


def mixed_batch(counts=(3, 2), *, flags=None, seed=0, truth="ellipse"):
    """A batch whose objects with a flag have an ellipse, or random pixels, in their box."""
    data = batch(counts, seed=seed)
    flags = iter(flags if flags is not None else [True, False] * sum(counts))
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:96, :96] + 0.5
    for sample in data["data_samples"]:
        masks, own = [], []
        for x1, y1, x2, y2 in sample.gt_instances.bboxes.tolist():
            own.append(next(flags))
            x, y = (cols - (x1 + x2) / 2) / (x2 - x1), (rows - (y1 + y2) / 2) / (y2 - y1)
            mask = x**2 + y**2 < 0.25
            if truth == "noise" or not own[-1]:
                mask = rng.random((96, 96)) < 0.5
            masks.append(mask.astype(np.uint8))
        stacked = np.stack(masks) if masks else np.zeros((0, 96, 96), np.uint8)
        sample.gt_instances.masks = PartialMasks(stacked, 96, 96, np.array(own, bool))
    return data


def prepared(detector, data):
    data = detector.data_preprocessor(copy.deepcopy(data), False)
    return data["inputs"], data["data_samples"]


def test_the_masks_of_objects_without_a_true_one_are_never_read(tiny):
    detector = build(tiny(true_masks=True))
    losses_of(detector, mixed_batch(seed=7))
    data = mixed_batch()
    changed = copy.deepcopy(data)
    for sample in changed["data_samples"]:
        masks = sample.gt_instances.masks
        masks.masks[~masks.is_true] = 0
    losses = [values(losses_of(copy.deepcopy(detector), each)) for each in (data, changed)]
    assert losses[0] == losses[1]
    noise = values(losses_of(copy.deepcopy(detector), mixed_batch(truth="noise")))
    assert noise["loss_con"] != losses[0]["loss_con"]


def test_without_a_single_true_mask_the_losses_are_those_of_boxes(tiny):
    boxes, mixed = build(tiny()), build(tiny(true_masks=True))
    for seed in (7, 0):
        expected = values(losses_of(boxes, batch(seed=seed)))
        found = values(losses_of(mixed, mixed_batch(flags=[False] * 5, seed=seed)))
        assert {key: found[key] for key in expected} == expected
        assert found["true_masks"] == found["teacher_true_iou"] == 0
    assert boxes.state_dict().keys() == mixed.state_dict().keys()


def test_the_keys_never_change(tiny):
    detector = build(tiny(true_masks=True))
    gate = detector.structured_teacher.consistency_gate
    for is_open in (False, True):
        gate.set(is_open)
        for counts in ((3, 2), (0, 2), (0, 0)):
            losses = losses_of(detector, mixed_batch(counts))
            assert set(losses) == KEYS | OWN_KEYS[tiny] | MIXED_KEYS
            assert all(np.isfinite(value.item()) for value in losses.values())
            sum(value for key, value in losses.items() if "loss" in key).backward()


def test_the_target_of_a_true_mask_is_this_mask(tiny):
    """All objects have true masks: `L_con` is the Dice loss with them at the cells' centres."""
    loss = dict(type="MaskConsistencyLoss", form="dice", hard=False, ignore=(0.0, 1.0))
    teacher = dict(type="StructuredTeacher", crop_size=64, valid_area=(0.0, 1.0))
    config = tiny(true_masks=True, loss_consistency=loss, structured_teacher=teacher)
    for key in ("rescoring", "with_seg_branch"):
        config.get("mask_head", {}).pop(key, None)
    detector = build(config)
    data = mixed_batch(flags=[True] * 5)
    found = values(losses_of(copy.deepcopy(detector), data))
    inputs, samples = prepared(detector, data)
    masks = np.concatenate([sample.gt_instances.masks.masks for sample in samples])
    with torch.no_grad():
        proposals = look(detector, inputs, BoxObjects.from_samples(samples)).proposals
    size = proposals.logits.shape[-2:]
    centres = (torch.arange(size[0]) + 0.5) * 96 / size[0]
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) / 48 - 1
    targets = torch.nn.functional.grid_sample(
        torch.from_numpy(masks).float()[:, None],
        grid.expand(len(masks), -1, -1, -1),
        align_corners=False,
    )[:, 0]
    inside = box_masks(proposals.objects.boxes / proposals.stride, size)
    inds = proposals.object_inds
    expected = consistency_dice(proposals.logits, (targets * inside)[inds], inside[inds])
    assert found["loss_con"] == pytest.approx(expected.mean().item(), abs=0.01)
    assert found["true_masks"] == 1


def test_true_masks_teach_before_the_gate_opens(tiny):
    detector = build(tiny(true_masks=True))
    detector.structured_teacher.consistency_gate.set(False)
    losses = values(losses_of(detector, mixed_batch()))
    assert losses["loss_con"] > 0
    assert losses["true_masks"] == pytest.approx(3 / 5)
    assert losses["teacher_valid"] == pytest.approx(3 / 5)  # no box without a mask has a target
    assert losses["teacher_true_iou"] == 0  # the teacher has not refined any mask
    assert not detector.structured_teacher.cross_image.bank.counts.any()


def test_the_bank_gets_true_masks(tiny):
    detector = build(tiny(true_masks=True))
    losses_of(detector, mixed_batch((1,), flags=[True]))
    bank = detector.structured_teacher.cross_image.bank
    label = int(bank.counts.argmax())
    mask = bank.masks[label * bank.capacity].float()
    # the ellipse fills pi / 4 of its box, and the corners are background
    assert mask.mean() == pytest.approx(np.pi / 4, abs=0.08)
    assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.35
    assert mask[1:3, 1:3].min() > 0.95


def test_replacement_is_exact_and_counts_the_teacher_before_it():
    regions = torch.tensor([[8.0, 8, 24, 24]] * 3)
    inside = torch.ones(3, 4, 4, dtype=torch.bool)
    refined = torch.zeros(3, 4, 4)
    refined[:, :2] = 1
    pseudo = PseudoMasks(refined, inside, regions, torch.ones(3) > 0, torch.full((3,), 0.5))
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 8:24, 8:16] = True  # the left half: shares a quarter with the upper half
    result = replace_by_truth(pseudo, TrueMasks(masks, torch.tensor([0, 2])))
    expected = torch.zeros(4, 4)
    expected[:, :2] = 1
    assert torch.equal(result.masks, torch.stack([expected, refined[1], torch.zeros(4, 4)]))
    assert result.valid.tolist() == [True, True, False]  # nothing of the third is in its box
    assert result.is_true.tolist() == [True, False, True]
    assert result.certainty.tolist() == [1, 0.5, 1]
    assert result.true_iou.tolist() == pytest.approx([1 / 3, 0, 0])


def test_the_running_agreement_skips_batches_without_truth(tiny):
    detector = build(tiny(true_masks=True))
    first = losses_of(detector, mixed_batch(seed=1))["teacher_true_iou"].item()
    assert 0 < first < 1
    same = losses_of(detector, mixed_batch(flags=[False] * 5))["teacher_true_iou"].item()
    assert same == first
    assert losses_of(detector, mixed_batch(seed=2))["teacher_true_iou"].item() != first
    assert not any("true_iou" in name for name in detector.state_dict())


def test_a_weight_of_its_own(tiny):
    found = []
    for weight in (0.0, 1.0, 100.0):
        loss = dict(type="MaskConsistencyLoss", true_weight=weight, hard=False)
        detector = build(tiny(true_masks=True, loss_consistency=loss))
        found.append(values(losses_of(detector, mixed_batch()))["loss_con"])
    assert len(set(found)) == 3
    with pytest.raises(ValueError, match=r"Expected `true_weight` to be in \[0, inf\)"):
        build(tiny(loss_consistency=dict(type="MaskConsistencyLoss", true_weight=-1)))


def test_drawings_have_the_true_masks(tiny):
    detector = build(tiny(true_masks=True))
    data = mixed_batch()
    records = pseudo_label_images(detector, data)
    for record, sample in zip(records, data["data_samples"], strict=True):
        masks = sample.gt_instances.masks
        expected = (masks.masks > 0) & masks.is_true[:, None, None]
        assert np.array_equal(record.true.numpy(), expected)
    assert pseudo_label_images(build(tiny()), batch())[0].true is None


def test_masks_that_lost_their_flags_are_an_error(tiny):
    detector = build(tiny(true_masks=True))
    with pytest.raises(TypeError, match="Expected PartialMasks in the data samples .* NoneType"):
        losses_of(detector, batch())
    data = batch((1,))
    plain = BitmapMasks(np.zeros((1, 96, 96), np.uint8), 96, 96)
    data["data_samples"][0].gt_instances.masks = plain
    with pytest.raises(TypeError, match="but got BitmapMasks. Set `use_masks=True`"):
        losses_of(detector, data)
    with pytest.raises(ValueError, match="because `true_masks` is set"):
        build(tiny(true_masks=True, structured_teacher=None, teacher_network=None))
