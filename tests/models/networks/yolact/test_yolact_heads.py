"""The heads of YOLACT compared with the stock ones: same losses, same masks."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from mmdet.registry import MODELS
from tiny import batch, build, losses_of, tiny_yolact

from mmdet_discobox.functional import box_masks
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks


@pytest.fixture
def detector():
    return build(tiny_yolact())


@pytest.fixture
def stock(detector):
    model = build(tiny_yolact(box_supervised=False), seed=1)
    model.load_state_dict(detector.state_dict(), strict=False)
    return model


def prepared(detector, counts=(3, 2)):
    data = detector.data_preprocessor(copy.deepcopy(batch(counts)), True)
    with torch.no_grad():
        features = detector.extract_feat(data["inputs"])
    return features, data["data_samples"]


def looked(detector, features, samples):
    """Outputs of the heads, the objects and the assignment."""
    objects = BoxObjects.from_samples(samples)
    outputs = detector.head_outputs(features)
    return outputs, objects, detector.assign(outputs, objects)


def losses_and_coefficients(detector, features, samples):
    outputs, objects, positives = looked(detector, features, samples)
    head = detector.bbox_head
    return (
        head.losses(outputs.bbox, positives, objects),
        head.coefficients(outputs.bbox, positives, objects),
    )


def test_the_losses_of_the_boxes_are_those_of_the_stock_head(detector, stock):
    features, samples = prepared(detector, (3, 2, 1))
    ours, chosen = losses_and_coefficients(detector, features, samples)
    theirs = stock.bbox_head.loss(features, samples)
    for key, value in theirs.items():
        assert ours[key].item() == pytest.approx(sum(v.sum() for v in value).item(), rel=1e-5)
    infos = stock.bbox_head.get_positive_infos()
    assert chosen.image_counts == [len(info.coeffs) for info in infos]
    for info, rows in zip(infos, chosen.values.split(chosen.image_counts), strict=True):
        order = lambda x: x[x[:, 0].argsort()]  # noqa: E731 - objects and anchors differ in order
        assert torch.allclose(order(rows), order(info.coeffs))


def test_masks_are_those_of_the_stock_head(detector, stock):
    features, samples = prepared(detector)
    outputs, objects, positives = looked(detector, features, samples)
    chosen = detector.bbox_head.coefficients(outputs.bbox, positives, objects)
    proposals = detector.mask_proposals(outputs, positives, objects, (96, 96))
    stock.bbox_head.loss(features, samples)
    infos = stock.bbox_head.get_positive_infos()
    for info, rows in zip(infos, chosen.values.split(chosen.image_counts), strict=True):
        info.coeffs = rows
    masks, _ = stock.mask_head(features, infos)
    theirs = torch.cat([image.permute(2, 0, 1) for image in masks])
    assert torch.allclose(proposals.logits.sigmoid(), theirs, atol=1e-6)
    assert proposals.stride == 4
    assert len(proposals) == sum(chosen.image_counts) > len(proposals.objects)


def test_an_image_without_objects_does_not_explode(detector, stock):
    features, samples = prepared(detector, (0, 3))
    ours = losses_and_coefficients(detector, features, samples)[0]["loss_cls"]
    theirs = sum(stock.bbox_head.loss(features, samples)["loss_cls"])
    assert theirs > 10 * ours  # the stock head adds up every anchor of the empty image
    alone = losses_and_coefficients(detector, *prepared(detector, (0,)))[0]["loss_cls"]
    ratio = detector.bbox_head.train_cfg["neg_pos_ratio"]
    assert 0 < alone < ratio * 10


def test_the_mean_of_the_coefficients_is_the_mean_of_the_masks(detector):
    outputs, objects, positives = looked(detector, *prepared(detector, (3, 0, 2)))
    each = detector.mask_proposals(outputs, positives, objects, (96, 96))
    mean = detector.mask_proposals(outputs, positives, objects, (96, 96), one_per_object=True)
    assert len(mean) == len(objects) == 5 < len(each)
    assert torch.allclose(mean.logits, each.per_object()[0], atol=1e-4)


def test_the_mean_of_the_coefficients_does_not_depend_on_the_order_of_the_anchors(detector):
    outputs, objects, positives = looked(detector, *prepared(detector, (3,)))
    rows = torch.arange(len(positives.object_inds))
    order = torch.cat([rows[::2], rows[1::2]])
    shuffled = replace(
        positives,
        object_inds=positives.object_inds[order],
        place_inds=positives.place_inds[order],
    )
    assert len(shuffled.object_inds.unique_consecutive()) > len(objects)
    expected, mean = (
        detector.mask_proposals(outputs, each, objects, (96, 96), one_per_object=True)
        for each in (positives, shuffled)
    )
    assert torch.equal(mean.object_inds, expected.object_inds)
    assert torch.allclose(mean.logits, expected.logits, atol=1e-4)


def test_no_more_masks_than_allowed(detector):
    outputs, objects, positives = looked(detector, *prepared(detector))
    detector.mask_head.max_masks_to_train = 4
    proposals = detector.mask_proposals(outputs, positives, objects, (96, 96))
    assert proposals.image_inds.tolist() == [0] * 4 + [1] * 4


def test_prototypes_cover_the_frame_exactly(detector):
    outputs, objects, positives = looked(detector, *prepared(detector))
    proposals = detector.mask_proposals(outputs, positives, objects, (95, 95))
    assert proposals.stride == pytest.approx(95 / 24)
    with pytest.raises(ValueError, match="Expected prototypes of equal scale along both axes"):
        detector.mask_proposals(outputs, positives, objects, (96, 80))


def proposals_of(boxes, logits):
    objects = BoxObjects(
        boxes=boxes,
        labels=torch.zeros(len(boxes), dtype=torch.long),
        image_inds=torch.zeros(len(boxes), dtype=torch.long),
        image_sizes=torch.tensor([[96.0, 96.0]]),
        image_ids=torch.zeros(len(boxes), dtype=torch.long),
    )
    return MaskProposals(logits, torch.arange(len(boxes)), objects, 4.0)


def test_rescoring_learns_the_overlap_with_refined_masks(detector, monkeypatch):
    boxes = torch.tensor([[16.0, 16.0, 80.0, 80.0], [0.0, 0.0, 32.0, 32.0], [0.0, 0.0, 16.0, 16.0]])
    logits = torch.where(box_masks(boxes / 4, (24, 24)), 5.0, -5.0).requires_grad_()
    halves = torch.ones(3, 16, 16)
    halves[0, :, 8:] = 0  # refined: the left half of the first box, all of the others
    halves[1, 8:] = 0  # whose region reaches beyond the box, and so does the student
    inside = torch.ones(3, 16, 16, dtype=torch.bool)
    inside[1, 8:] = False
    pseudo = PseudoMasks(
        masks=halves,
        inside=inside,
        regions=boxes,
        valid=torch.tensor([True, False, True]),
        certainty=torch.ones(3),
    )
    seen = {}
    head = detector.mask_head

    def spy(masks, labels, ious, areas, valid):
        seen.update(masks=masks, ious=ious, areas=areas, valid=valid)
        return masks.sum() * 0

    monkeypatch.setattr(head.rescoring, "loss", spy)
    losses = head.pseudo_mask_losses((), proposals_of(boxes, logits), pseudo)
    assert set(losses) == {"loss_rescoring"}
    assert seen["ious"].tolist() == pytest.approx([0.5, 1, 1], abs=0.02)
    assert seen["areas"].tolist() == pytest.approx([128, 32, 16])  # in cells of 4 pixels
    assert seen["valid"].tolist() == [True, False, True]
    assert not seen["masks"].requires_grad
    # cropped to the box and, as at test time, one cell around it
    assert seen["masks"][1, :9, :9].all()
    assert not seen["masks"][1, 9:].any()


def test_without_refined_masks_rescoring_learns_nothing(detector):
    logits = torch.zeros(1, 24, 24)
    proposals = proposals_of(torch.tensor([[0.0, 0.0, 32.0, 32.0]]), logits)
    loss = detector.mask_head.pseudo_mask_losses((), proposals, None)["loss_rescoring"]
    assert loss.item() == 0
    assert loss.requires_grad


def test_rescoring_leaves_the_masks_alone(detector):
    losses = losses_of(detector, batch())
    detector.zero_grad()
    losses["loss_rescoring"].backward()
    reached = {name for name, p in detector.named_parameters() if p.grad is not None}
    assert reached
    assert all(name.startswith("mask_head.rescoring.") for name in reached)


@pytest.mark.parametrize("change", [dict(rescoring=dict()), dict(with_seg_branch=True)])
def test_layers_trained_by_refined_masks_need_a_structured_teacher(change):
    config = tiny_yolact(structured_teacher=None, teacher_network=None)
    config.mask_head.update({"rescoring": None, **change})
    with pytest.raises(ValueError, match=f"Expected `structured_teacher` .* `{[*change][0]}`"):
        build(config)


def test_unsupported_box_losses_are_rejected():
    config = tiny_yolact().bbox_head
    config.use_ohem = False
    with pytest.raises(ValueError, match="Expected `use_ohem=True`"):
        MODELS.build(config)
