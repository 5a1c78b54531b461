"""Losses, training masks and predictions of RTMDet-Ins against mmdet's own."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from tiny import batch, build, losses_of, tiny_rtmdet_ins

from mmdet_discobox.models.detectors import look
from mmdet_discobox.models.networks.rtmdet_ins import head as head_module
from mmdet_discobox.structures import BoxObjects


def looked(detector, data, **kwargs):
    prepared = detector.data_preprocessor(copy.deepcopy(data), True)
    objects = BoxObjects.from_samples(prepared["data_samples"])
    return look(detector, prepared["inputs"], objects, **kwargs)


@pytest.fixture
def trained():
    """A detector with random outputs, so that priors differ."""
    detector = build(tiny_rtmdet_ins(teacher_network=None))
    with torch.no_grad():
        for name, parameter in detector.bbox_head.named_parameters():
            if name.startswith(("rtm_", "mask_head.projection")):
                parameter.normal_(std=0.3)
    return detector


def test_losses_of_boxes_and_classes_are_those_of_mmdet(trained, monkeypatch):
    """Without reserved priors and with masks that have the boxes' centres, which mmdet uses."""
    data = batch((4, 0, 6))
    stock = build(tiny_rtmdet_ins(box_supervised=False))
    stock.load_state_dict(trained.state_dict(), strict=False)
    for sample in data["data_samples"]:  # symmetric about the centre of the box, on whole pixels
        boxes = sample.gt_instances.bboxes.round()
        sample.gt_instances.bboxes = boxes
        masks = np.zeros((len(boxes), 96, 96), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1 : y2 + 1, x1 : x2 + 1] = 1
        sample.gt_instances.masks = BitmapMasks(masks, 96, 96)
    expected = losses_of(stock, copy.deepcopy(data))

    def unreserved(objects, priors):
        return torch.full_like(objects.labels, len(priors) - 1)

    # the last prior is in a corner of the image, where no object is
    monkeypatch.setattr(head_module, "nearest_priors", unreserved)
    losses = losses_of(trained, data)
    for key in ("loss_cls", "loss_bbox"):
        assert losses[key].item() == pytest.approx(sum(expected[key]).item(), rel=1e-4), key


def test_masks_are_those_that_mmdet_trains(trained):
    view = looked(trained, batch((3, 2)))
    head, outputs, positives = trained.bbox_head, view.outputs, view.proposals.targets.positives
    seen = []
    head.loss_mask.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    kernels = torch.cat([level.flatten(2) for level in outputs.kernels], 2).transpose(1, 2)
    counts = positives.image_counts
    results, truths = [], []
    for places, owners in zip(
        positives.place_inds.split(counts), positives.object_inds.split(counts), strict=True
    ):
        priors = head._priors(outputs)[places]
        own = owners - owners.min()
        results.append(
            SimpleNamespace(pos_priors=priors, pos_inds=places, pos_assigned_gt_inds=own)
        )
        truths.append(SimpleNamespace(masks=torch.zeros(3, 96, 96)))
    head.loss_mask_by_feat(outputs.mask_features, kernels, results, truths)
    assert torch.equal(seen[0], view.proposals.logits)
    assert view.proposals.logits.shape[1:] == (24, 24)
    assert view.proposals.stride == 4


def test_the_average_predicts_one_mask_per_object_at_its_nearest_prior(trained):
    data = batch((3, 0, 2))
    student = looked(trained, data)
    one = looked(trained, data, positives=student.positives, one_per_object=True)
    assert one.proposals.object_inds.tolist() == list(range(5))
    targets = student.proposals.targets.positives
    for index in range(5):
        place = student.positives.place_inds[index]
        row = (targets.object_inds == index) & (targets.place_inds == place)
        assert torch.allclose(
            student.proposals.logits[row][0], one.proposals.logits[index], atol=1e-4
        )


def test_the_assignment_depends_on_boxes_alone(trained):
    data = batch((3, 2))
    before = looked(trained, data)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_(std=0.3)
    after = looked(trained.eval(), data)
    assert torch.equal(before.positives.place_inds, after.positives.place_inds)
    assert not torch.equal(before.proposals.targets.labels, after.proposals.targets.labels)


def test_mask_logits_do_not_depend_on_the_mode(trained):
    """Group normalisation is the same in both modes, and so is the whole head."""
    data = batch((3, 2))
    train, evaluation = (
        looked(trained.train(mode), data, one_per_object=True).proposals.logits
        for mode in (True, False)
    )
    assert torch.equal(train, evaluation)


def test_the_masks_of_an_image_are_bounded_and_every_object_keeps_some():
    config = tiny_rtmdet_ins()
    config.bbox_head.max_masks_per_image = 6
    view = looked(build(config), batch((3, 0)))
    assert len(view.proposals.targets.positives.object_inds) > 6
    assert len(view.proposals) == 6
    assert set(view.proposals.object_inds.tolist()) == {0, 1, 2}


def test_another_assigner_is_an_error():
    config = tiny_rtmdet_ins()
    config.train_cfg.assigner = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4)
    detector = build(config)
    with pytest.raises(TypeError, match="to be a DynamicSoftLabelAssigner but got MaxIoUAssigner"):
        losses_of(detector, batch())


def test_the_head_without_separate_normalisation_trains_and_predicts():
    config = tiny_rtmdet_ins()
    config.bbox_head.type = "DiscoBoxRTMDetInsHead"
    config.bbox_head.with_objectness = False
    config.bbox_head.pop("share_conv")
    detector = build(config)
    losses = losses_of(detector, batch())
    assert all(torch.isfinite(value) for value in losses.values())
    detector.eval()
    with torch.no_grad():
        found = detector(**detector.data_preprocessor(batch(), False), mode="predict")
    assert len(found) == 2


def test_masks_have_the_size_of_an_image_whose_sides_were_scaled_unequally(trained):
    """640 x 427 pixels become 320 x 214; mmdet 3.3 returns 639 columns."""
    data = batch((1,))
    height, width = 427, 640
    data["inputs"] = [torch.randint(0, 255, (3, 214, 320), dtype=torch.uint8)]
    data["data_samples"][0].set_metainfo(
        dict(
            img_shape=(214, 320),
            ori_shape=(height, width),
            scale_factor=(320 / width, 214 / height),
        )
    )
    stock = build(tiny_rtmdet_ins(box_supervised=False))
    stock.load_state_dict(trained.state_dict(), strict=False)
    found = []
    for model in (trained.eval(), stock.eval()):
        with torch.no_grad():
            inputs = model.data_preprocessor(copy.deepcopy(data), False)
            found.append(model(**inputs, mode="predict")[0].pred_instances)
    ours, theirs = found
    assert ours.masks.shape[1:] == (height, width)
    assert torch.allclose(ours.bboxes, theirs.bboxes, atol=1e-3)
    assert torch.equal(ours.scores, theirs.scores)
