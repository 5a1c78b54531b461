from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.engine.hooks import NumClassCheckHook
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from tiny import batch, build, losses_of, tiny_labeler, tiny_solov2

from mmdet_discobox.evaluation import BoxMaskIoU
from mmdet_discobox.functional import box_masks
from mmdet_discobox.models.detectors import look
from mmdet_discobox.models.detectors.colour_jitter import ColourJitter
from mmdet_discobox.models.networks.box_labeler import BoxMaskHead, box_coordinates
from mmdet_discobox.structures import BoxObjects


def objects(boxes, images=None, size=96):
    boxes = torch.tensor(boxes)
    inds = torch.tensor(images or [0] * len(boxes))
    return BoxObjects(
        boxes=boxes,
        labels=torch.zeros(len(boxes), dtype=torch.long),
        image_inds=inds,
        image_sizes=torch.full((int(inds.max()) + 1, 2), float(size)),
        image_ids=inds,
    )


def test_coordinates_are_half_sides_from_the_centre():
    maps = box_coordinates(torch.tensor([[2.0, 4, 6, 12]]), 16, 8)
    x, y, inside = maps[0]
    assert x[0].tolist() == [-1.75, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 1.75]
    assert y[[0, 7, 8, 15], 0].tolist() == [-1.875, -0.125, 0.125, 1.875]
    expected = torch.zeros(16, 8)
    expected[4:12, 2:6] = 1
    assert torch.equal(inside, expected)
    assert torch.isfinite(box_coordinates(torch.zeros(1, 4), 4, 4)).all()
    assert box_coordinates(torch.zeros(1, 4), 4, 4).abs().max() <= 2


def test_the_box_decides_which_object_of_an_image_is_segmented():
    model = build(tiny_labeler(num_classes=None)).eval()
    image = torch.randn(1, 3, 96, 96)
    left, right = [4.0, 4, 40, 90], [50.0, 4, 92, 90]
    with torch.no_grad():
        both = look(model, image, objects([left, right])).proposals
        alone = look(model, image, objects([right])).proposals
    assert both.stride == 4
    assert both.logits.shape == (2, 24, 24)
    assert (both.logits[0] - both.logits[1]).abs().max() > 1e-4
    torch.testing.assert_close(both.logits[1], alone.logits[0])


def test_without_coordinates_every_box_has_the_same_mask():
    config = tiny_labeler(num_classes=None)
    config.mask_head.coordinates = False
    with torch.no_grad():
        model = build(config).eval()
        logits = look(
            model, torch.randn(1, 3, 96, 96), objects([[4.0, 4, 40, 90], [50.0, 4, 92, 90]])
        ).proposals.logits
    assert torch.equal(logits[0], logits[1])


def test_classes_condition_the_masks_only_if_there_are_any():
    image, box = torch.randn(1, 3, 96, 96), [[4.0, 4, 40, 90]] * 2
    asked = objects(box)
    asked.labels[1] = 2
    for classes, same in ((None, True), (3, False)):
        with torch.no_grad():
            logits = look(build(tiny_labeler(num_classes=classes)).eval(), image, asked)
        assert torch.equal(*logits.proposals.logits) == same


def test_a_bank_needs_classes():
    with pytest.raises(ValueError, match=r"Expected `mask_head.num_classes` with a cross-image"):
        build(tiny_labeler(num_classes=None, structured_teacher=tiny_labeler().structured_teacher))


def test_the_check_of_class_counts_names_the_labeller_without_classes():
    """mmdet's hook reads `num_classes` of every module, with or without an object bank."""
    dataset = SimpleNamespace(metainfo=dict(classes=("one", "two", "three")))
    runner = SimpleNamespace(
        model=build(tiny_labeler(num_classes=None)),
        train_dataloader=SimpleNamespace(dataset=dataset),
    )
    assert runner.model.num_classes is None
    with pytest.raises(AssertionError, match=r"`num_classes` \(None\) in DiscoBoxLabeler"):
        NumClassCheckHook().before_train_epoch(runner)
    runner.model = build(tiny_labeler())
    NumClassCheckHook().before_train_epoch(runner)


def test_predictions_have_one_refiner():
    with pytest.raises(ValueError, match="Expected no `prediction_refiner` for a DiscoBoxLabeler"):
        build(tiny_labeler(prediction_refiner=dict(min_score=0.0)))


def test_another_head_is_an_error():
    config = tiny_labeler()
    config.mask_head = tiny_solov2(box_supervised=False).mask_head
    with pytest.raises(TypeError, match="Expected `mask_head` to be a BoxMaskHead"):
        MODELS.build(config)


def test_boxes_are_jittered_in_training_alone_and_the_losses_see_the_given_ones():
    config = tiny_labeler(num_classes=None)
    config.mask_head.box_jitter = 0.1
    model, image = build(config), torch.randn(1, 3, 96, 96)
    asked = objects([[20.0, 20, 70, 80]])
    looks = [look(model, image, asked).proposals for _ in range(2)]
    assert not torch.equal(looks[0].logits, looks[1].logits)
    assert torch.equal(looks[0].boxes, asked.boxes)
    model.eval()
    looks = [look(model, image, asked).proposals for _ in range(2)]
    assert torch.equal(looks[0].logits, looks[1].logits)


def test_the_student_alone_sees_perturbed_colours(monkeypatch):
    model = build(tiny_labeler(num_classes=None, colour_jitter=dict(grey=0.0)))
    model.teacher.update_parameters(model)
    seen = {}
    for name, network in (("student", model), ("average", model.teacher.module)):
        network.backbone.register_forward_pre_hook(
            lambda _, args, name=name: seen.__setitem__(name, args[0])
        )
    teacher = model.structured_teacher
    teacher.register_forward_pre_hook(lambda _, args: seen.__setitem__("colours", args[1]))
    data = batch((1, 1))
    clean = model.data_preprocessor(copy.deepcopy(data), True)["inputs"]
    losses_of(model, data)
    assert torch.equal(seen["average"], clean)
    assert (seen["student"] - clean).abs().mean() > 0.05
    torch.testing.assert_close(seen["colours"], model.to_rgb(clean))


def test_jitter_without_amounts_changes_nothing_and_greys_are_grey():
    images = torch.randn(4, 3, 8, 8)
    same = ColourJitter(brightness=0, contrast=0, saturation=0, grey=0)(images)
    torch.testing.assert_close(same, images)
    grey = ColourJitter(brightness=0, contrast=0, saturation=0, grey=1)(images)
    torch.testing.assert_close(grey, images.mean(1, keepdim=True).expand_as(images))
    torch.manual_seed(0)
    bright = ColourJitter(brightness=0.4, contrast=0, saturation=0, grey=0)(images) - images
    assert bright.std((1, 2, 3)).max() < 1e-6  # one amount for an image
    assert 0.05 < bright.mean((1, 2, 3)).std() < 0.4  # and another for the next


@pytest.mark.parametrize(
    ("perturbation", "setting"),
    [
        (ColourJitter, dict(brightness=-0.1)),
        (ColourJitter, dict(grey=1.5)),
        (BoxMaskHead, dict(box_jitter=0.5)),
    ],
)
def test_perturbations_out_of_range_are_refused(perturbation, setting):
    with pytest.raises(ValueError, match=f"Expected `{next(iter(setting))}` to be in"):
        perturbation(**setting)


def test_predictions_are_the_refined_masks_of_the_given_boxes():
    model = build(tiny_labeler(num_classes=None)).eval()
    data = batch((1, 2, 0))
    given = [sample.gt_instances.bboxes.clone() for sample in data["data_samples"]]
    with torch.no_grad():
        inputs = model.data_preprocessor(data, False)
        samples = model(**inputs, mode="predict")
    for sample, boxes in zip(samples, given, strict=True):
        found = sample.pred_instances
        assert torch.equal(found.bboxes, boxes)
        assert found.masks.shape == (len(boxes), 96, 96)
        for mask, (x1, y1, x2, y2) in zip(found.masks, boxes.tolist(), strict=True):
            rows, cols = np.nonzero(mask.numpy())
            assert len(rows)
            assert x1 <= cols.min() + 2
            assert cols.max() - 1 <= x2
            assert y1 <= rows.min() + 2
            assert rows.max() - 1 <= y2


def test_iou_is_measured_inside_the_box():
    truth, found = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 10, 10), bool)
    truth[0, 2:8, 2:8] = 1
    truth[0, 0] = 1  # outside the box
    found[0, 2:8, 2:5] = True
    found[0, 9] = True  # outside the box
    metric = BoxMaskIoU(threshold=0.4)
    box = torch.tensor([[2.0, 2, 8, 8]])
    sample = dict(
        gt_instances=dict(bboxes=box, masks=BitmapMasks(truth, 10, 10)),
        pred_instances=dict(masks=torch.from_numpy(found)),
    )
    metric.process(None, [sample])
    assert metric.results == [[0.5]]
    both = dict(
        gt_instances=dict(bboxes=box.repeat(2, 1), masks=BitmapMasks(truth.repeat(2, 0), 10, 10)),
        pred_instances=dict(masks=torch.from_numpy(np.concatenate([found, truth > 0]))),
    )
    metric.process(None, [both])
    # mmengine cuts what it collects to the number of samples, which are 2 with 3 boxes
    figures = metric.evaluate(size=2)
    assert figures["labels/mean_iou"] == pytest.approx(2 / 3)
    assert figures["labels/good"] == 1
    assert metric.compute_metrics([[0.5], [0.3]]) == {"mean_iou": pytest.approx(0.4), "good": 0.5}
    with pytest.raises(ValueError, match="Expected boxes to compare the masks of"):
        metric.compute_metrics([[], []])
    with pytest.raises(ValueError, match=r"`threshold` in \[0, 1\] but got 7"):
        BoxMaskIoU(threshold=7)
    with pytest.raises(ValueError, match="Expected true masks in `gt_instances`"):
        metric.process(None, [{**sample, "gt_instances": dict(bboxes=box)}])


@pytest.mark.parametrize("box", [[2.6, 2, 2.9, 8], [2, 9.6, 8, 12], [2, 2, 8, 8]])
def test_pixels_of_thin_boxes_are_those_that_are_labelled(box):
    """Between two pixel centres, and at the border of the image."""
    boxes = torch.tensor([box])
    labelled = box_masks(boxes, (10, 10))
    metric = BoxMaskIoU()
    truth = BitmapMasks(labelled.numpy().astype(np.uint8), 10, 10)
    given = dict(bboxes=boxes, masks=truth)
    metric.process(None, [dict(gt_instances=given, pred_instances=dict(masks=labelled))])
    assert metric.results == [[1.0]]
