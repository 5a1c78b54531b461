"""``BoxMILLoss``: mmdet's calling convention around ``L_mil``, alone and in a stock SOLOv2."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from tiny import batch, build, losses_of, tiny_solov2

from mmdet_discobox.functional import (
    box_masks,
    box_projections,
    known_bags,
    mil_bce_loss,
    mil_dice_loss,
)
from mmdet_discobox.models.losses import BoxMILLoss, mil_loss
from mmdet_discobox.structures import BoxObjects, MaskProposals

FUNCTIONS = {"dice": mil_dice_loss, "bce": mil_bce_loss}
both_forms = pytest.mark.parametrize("form", sorted(FUNCTIONS))

BOXES = torch.tensor([[2.0, 1.0, 8.0, 6.0], [0.3, 0.2, 4.4, 7.0], [5.0, 3.0, 6.0, 4.0]])


def logits(requires_grad=False):
    values = torch.randn(3, 7, 10, generator=torch.Generator().manual_seed(0)) * 3
    return values.requires_grad_(requires_grad)


def expected(form):
    return FUNCTIONS[form](logits(), *box_projections(BOXES, (7, 10)))


@both_forms
def test_builds_from_a_config(form):
    loss = MODELS.build(dict(type="BoxMILLoss", form=form, reduction="none", loss_weight=2.5))
    assert torch.allclose(loss(logits(), BOXES), 2.5 * expected(form))


@both_forms
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.long, torch.float32])
def test_masks_and_their_boxes_give_the_same_loss(form, dtype):
    loss = BoxMILLoss(form, reduction="none")
    masks = box_masks(BOXES, (7, 10))
    assert torch.equal(loss(logits(), masks.to(dtype)), loss(logits(), BOXES))
    cross = torch.zeros_like(masks)
    cross[0, 3, 2:8] = cross[0, 1:6, 5] = True
    assert torch.equal(loss(logits(), cross.to(dtype))[0], loss(logits(), BOXES)[0])


@both_forms
def test_reductions(form):
    one = expected(form)
    weight, pred = torch.tensor([0.0, 1.0, 3.0]), logits()
    for reduction, value in (("none", one), ("sum", one.sum()), ("mean", one.mean())):
        assert torch.allclose(BoxMILLoss(form, reduction=reduction)(pred, BOXES), value)
        assert torch.allclose(BoxMILLoss(form)(pred, BOXES, reduction_override=reduction), value)
    loss = BoxMILLoss(form)
    assert torch.allclose(loss(pred, BOXES, avg_factor=5.0), one.sum() / 5)
    assert torch.allclose(loss(pred, BOXES, weight), (one * weight).mean())
    assert torch.allclose(loss(pred, BOXES, weight, avg_factor=4.0), (one * weight).sum() / 4)
    assert torch.equal(
        loss(pred, BOXES, weight, avg_factor=4.0, reduction_override="none"), one * weight
    )


def test_rejects_avg_factor_with_sum():
    with pytest.raises(ValueError, match="avg_factor can not be used with"):
        BoxMILLoss(reduction="sum")(logits(), BOXES, avg_factor=3.0)


@both_forms
def test_gradients_reach_the_masks_of_positive_weight(form):
    pred = logits(requires_grad=True)
    BoxMILLoss(form)(pred, BOXES, torch.tensor([0.0, 1.0, 1.0])).backward()
    assert pred.grad.flatten(1).any(1).tolist() == [False, True, True]


@both_forms
def test_no_masks(form):
    pred = torch.zeros(0, 7, 10, requires_grad=True)
    for target in (torch.zeros(0, 4), torch.zeros(0, 7, 10)):
        assert BoxMILLoss(form)(pred, target, reduction_override="none").shape == (0,)
        for avg_factor in (None, 1.0):
            total = BoxMILLoss(form)(pred, target, avg_factor=avg_factor)
            assert total.item() == 0
            total.backward()


def test_unknown_form():
    with pytest.raises(ValueError, match=r"Expected `form` to be one of \['bce', 'dice'\] .*'iou'"):
        BoxMILLoss("iou")


def test_unknown_reduction():
    with pytest.raises(ValueError, match=r"Expected `reduction` to be one of .* but got 'max'"):
        BoxMILLoss(reduction="max")


@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize("detector", ["DiscoBoxSOLOv2", "SOLOv2"])
def test_a_detector_refuses_the_reduction_that_it_would_ignore(detector, reduction):
    loss = dict(type="BoxMILLoss", reduction=reduction)
    if detector == "SOLOv2":  # with our head
        config = tiny_solov2(box_supervised=False)
        config.mask_head.type, config.mask_head.loss_mask = "DiscoBoxSOLOv2Head", loss
    else:
        config = tiny_solov2(loss_mil=loss)
    with pytest.raises(ValueError, match=f"MIL loss to be 'mean', .* but got '{reduction}'"):
        losses_of(build(config), batch((1,)))


@pytest.mark.parametrize("shape", [(3,), (3, 1, 7, 10)])
def test_rejects_targets_of_other_dimensions(shape):
    with pytest.raises(ValueError, match=r"Expected `target` to be boxes \(N, 4\) or masks"):
        BoxMILLoss()(logits(), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 4), (3, 5), (2, 7, 10), (3, 10, 7)])
def test_rejects_targets_of_other_sizes(shape):
    with pytest.raises(ValueError, match=r"Expected `(rows|boxes)` of shape"):
        BoxMILLoss()(logits(), torch.zeros(shape))


@both_forms
def test_trains_a_stock_solov2(form):
    config = tiny_solov2(box_supervised=False)
    config.mask_head.loss_mask = dict(type="BoxMILLoss", form=form)
    model = build(config)
    data = batch((3, 2))
    for sample in data["data_samples"]:
        masks = box_masks(sample.gt_instances.bboxes, (96, 96)).numpy().astype("uint8")
        sample.gt_instances.masks = BitmapMasks(masks, 96, 96)
    losses = losses_of(model, data)
    assert set(losses) == {"loss_mask", "loss_cls"}
    assert 0 < losses["loss_mask"].item() < 2
    losses["loss_mask"].backward()
    for branch in (model.backbone, model.mask_head.conv_kernel, model.mask_head.mask_feature_head):
        gradients = [p.grad for p in branch.parameters() if p.requires_grad]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert any(g.any() for g in gradients)


CUT = torch.tensor([[False, False, True, False], [False] * 4, [True, False, False, True]])


@both_forms
def test_cut_sides_make_bags_unknown(form):
    loss = BoxMILLoss(form, reduction="none", loss_weight=2.0)
    bags = box_projections(BOXES, (7, 10))
    expected = 2 * FUNCTIONS[form](logits(), *bags, known=known_bags(*bags, CUT))
    found = loss(logits(), BOXES, cut_sides=CUT)
    assert torch.equal(found, expected)
    whole = loss(logits(), BOXES)
    assert torch.equal(found[1], whole[1])
    assert (found[[0, 2]] != whole[[0, 2]]).all()


def test_masks_have_no_cut_sides():
    with pytest.raises(ValueError, match="without `cut_sides`"):
        BoxMILLoss()(logits(), box_masks(BOXES, (7, 10)), cut_sides=CUT)


@both_forms
def test_loss_of_proposals_reads_the_cut_sides_of_their_objects(form):
    loss = BoxMILLoss(form)
    zeros = torch.zeros(3, dtype=torch.long)
    objects = BoxObjects(BOXES * 4, zeros, zeros, torch.tensor([[28.0, 40]]), zeros, CUT)
    inds = torch.tensor([2, 0, 1])
    proposals = MaskProposals(logits()[inds], inds, objects, 4.0)
    expected = loss(logits(), BOXES, cut_sides=CUT, reduction_override="none").sum() / 3
    assert torch.allclose(mil_loss(loss, proposals), expected)
