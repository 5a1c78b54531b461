"""YOLACT's semantic branch, trained by refined masks."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from tiny import batch, build, losses_of, tiny_semantic_yolact, tiny_yolact

from mmdet_discobox.functional import box_masks
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks

BOXES = torch.tensor([[16.0, 16.0, 80.0, 80.0], [0.0, 0.0, 32.0, 32.0], [40.0, 8.0, 96.0, 56.0]])
LABELS, IMAGES = torch.tensor([0, 2, 2]), torch.tensor([0, 0, 1])


def head_of(kind):
    config = tiny_yolact(box_supervised=False).mask_head
    torch.manual_seed(0)
    return MODELS.build({**config, "type": kind, "with_seg_branch": True})


@pytest.fixture
def head():
    return head_of("DiscoBoxYOLACTProtonet")


@pytest.fixture
def feature():
    return torch.randn(2, 16, 12, 12, generator=torch.Generator().manual_seed(1))


def proposals():
    objects = BoxObjects(BOXES, LABELS, IMAGES, torch.full((2, 2), 96.0), torch.full((3,), -1))
    return MaskProposals(torch.zeros(3, 24, 24), torch.arange(3), objects, 4.0)


def filled(valid):
    """Refined masks that fill their boxes."""
    ones = torch.ones(3, 16, 16)
    return PseudoMasks(ones, ones.bool(), BOXES, torch.tensor(valid), torch.ones(3))


def segm_loss(head, feature, pseudo):
    return head.pseudo_mask_losses((feature,), proposals(), pseudo)["loss_segm"]


def test_the_loss_and_its_channels_are_those_of_the_stock_head(head, feature):
    stock = head_of("YOLACTProtonet")
    stock.load_state_dict(head.state_dict())
    masks = box_masks(BOXES, (96, 96)).numpy().astype("uint8")
    truth, positives = [], []
    for mine in (IMAGES == 0, IMAGES == 1):
        true_masks = BitmapMasks(masks[mine.numpy()], 96, 96)
        truth.append(InstanceData(bboxes=BOXES[mine], labels=LABELS[mine], masks=true_masks))
        positives.append(
            InstanceData(
                coeffs=torch.zeros(int(mine.sum()), 8),
                bboxes=BOXES[mine],
                pos_assigned_gt_inds=torch.arange(int(mine.sum())),
            )
        )
    theirs = stock.loss_by_feat(
        *stock((feature,), positives), truth, [dict(img_shape=(96, 96))] * 2, positives
    )
    ours = segm_loss(head, feature, filled([True, True, True]))
    assert ours.item() == pytest.approx(sum(theirs["loss_segm"]).item(), rel=1e-5)


def test_the_class_of_a_box_without_a_refined_mask_is_ignored(head, feature):
    seen = []
    head.segm_branch.register_forward_hook(lambda module, inputs, logits: seen.append(logits))
    loss = segm_loss(head, feature, filled([True, True, False]))
    (gradient,) = torch.autograd.grad(loss, seen)
    box = box_masks(BOXES[2:] / 8, (12, 12))[0]
    channel = 1  # the branch has class 2 there, class 0 comes last
    assert not gradient[1, channel, box].any()
    assert (gradient[1, channel, ~box] > 0).all()  # known background
    assert (gradient[1, [0, 2]] > 0).all()
    assert (gradient[0, 2, box_masks(BOXES[:1] / 8, (12, 12))[0]] < 0).all()
    assert (gradient[0] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_refined_masks_the_branch_learns_nothing(head, feature, dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        loss = segm_loss(head, feature * 1e30, None)
    loss.backward()
    assert loss.item() == 0
    assert not any(parameter.grad.any() for parameter in head.segm_branch.parameters())


def test_the_branch_gets_gradients_and_the_prototypes_do_not():
    detector = build(tiny_semantic_yolact())
    loss = losses_of(detector, batch((3, 0)))["loss_segm"]
    loss.backward()
    assert loss > 0
    assert all(parameter.grad.any() for parameter in detector.mask_head.segm_branch.parameters())
    assert all(parameter.grad is None for parameter in detector.mask_head.protonet.parameters())
