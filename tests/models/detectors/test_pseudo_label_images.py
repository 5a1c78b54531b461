"""`pseudo_label_images`: its masks, and that it has no side effect."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import TASK_NETWORKS, batch, build, tiny_solov2

from mmdet_discobox.models.detectors import look, pseudo_label_images
from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects


@pytest.fixture(params=TASK_NETWORKS.values(), ids=TASK_NETWORKS)
def detector(request):
    return build(request.param())


def test_masks_are_those_of_student_and_teacher(detector):
    data = batch((3, 0, 2), size=90)
    images = pseudo_label_images(detector, data)
    assert [len(image.boxes) for image in images] == [3, 0, 2]
    ready = detector.data_preprocessor(data, False)
    detector.eval()
    pseudo = detector.teach(ready["inputs"], ready["data_samples"])
    expected = paste_regions(pseudo.masks, pseudo.regions, (90, 90)) > 0.5
    assert torch.equal(torch.cat([image.teacher for image in images]), expected)
    assert expected.any()
    for image, sample, pixels in zip(images, data["data_samples"], data["inputs"], strict=True):
        assert torch.equal(image.boxes, sample.gt_instances.bboxes.clamp(max=90))
        assert torch.equal(image.image, pixels.flip(0).permute(1, 2, 0))  # BGR to RGB, no padding
        assert image.student.shape == (len(image.boxes), 90, 90)


def test_student_masks_are_the_logits_of_its_proposals():
    detector = build(tiny_solov2())
    data = batch((2,), size=96)
    (image,) = pseudo_label_images(detector, data)
    ready = detector.data_preprocessor(data, False)
    with torch.no_grad():
        objects = BoxObjects.from_samples(ready["data_samples"])
        logits, _ = look(detector.eval(), ready["inputs"], objects).proposals.per_object()
    # a cell of four pixels and its eight neighbours of one sign have no other sign within
    sure = logits[:, None].sign()
    sure = torch.nn.functional.avg_pool2d(sure, 3, 1, 1, count_include_pad=False)[:, 0].abs() == 1
    sure = sure.repeat_interleave(4, 1).repeat_interleave(4, 2)
    coarse = (logits > 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert sure.float().mean() > 0.5
    assert torch.equal(image.student[sure], coarse[sure])


def test_model_and_random_state_do_not_change(detector):
    detector.train()
    before = copy.deepcopy(detector.state_dict())
    state = torch.get_rng_state()
    modes = [module.training for module in detector.modules()]
    pseudo_label_images(detector, batch(), limit=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in detector.modules()] == modes
    for key, value in detector.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_limit_is_kept(detector):
    assert len(pseudo_label_images(detector, batch((1, 2, 1)), limit=2)) == 2
