"""One training step of every network: forward passes, precision, pickling, compilation."""

from __future__ import annotations

import copy
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from mmdet.models.detectors import RTMDet, SOLOv2
from mmdet.registry import MODELS
from tiny import TASK_NETWORKS, batch, build, losses_of, tiny_solov2
from torch import nn

from mmdet_discobox.apis import AutoLabeler, BoxedImage
from mmdet_discobox.checkpoints.publishing import publish_weights
from mmdet_discobox.models.detectors import StructuredTeachingMixin, pseudo_label_images
from mmdet_discobox.models.losses import MaskConsistencyLoss
from mmdet_discobox.models.networks import DiscoBoxLabeler, DiscoBoxSOLOv2


@pytest.fixture(params=TASK_NETWORKS.values(), ids=TASK_NETWORKS)
def detector(request):
    """A detector whose average has started and whose bank has objects."""
    detector = build(request.param())
    losses_of(detector, batch(seed=7))
    detector.teacher.update_parameters(detector)
    return detector


def parts(network):
    """Backbone, neck and leaf modules of the heads, each run once by `look`."""
    heads = [getattr(network, name, None) for name in ("mask_head", "bbox_head")]
    leaves = [m for head in heads if head for m in head.modules() if not list(m.children())]
    learned = [leaf for leaf in leaves if list(leaf.parameters(recurse=False))]
    return {"backbone": network.backbone, "neck": network.neck}, learned


class Forwards:
    """Count the forward passes of a network's parts."""

    def __init__(self, network):
        self.counts, self.leaves = Counter(), Counter()
        named, leaves = parts(network)
        for name, module in named.items():
            module.register_forward_hook(self.counter(self.counts, name))
        for index, module in enumerate(leaves):
            module.register_forward_hook(self.counter(self.leaves, index))
        head = network.bbox_head if network.with_bbox else network.mask_head
        head = head.prior_generator if network.with_bbox else head
        self.most = len(getattr(head, "strides", [None]))  # the labeller's head runs once
        if isinstance(network, RTMDet):
            self.most *= 2  # its box and class towers are the same modules

    @staticmethod
    def counter(counts, key):
        return lambda *_: counts.update([key])

    def looks(self):
        """Number of `look` calls; each runs each leaf of the heads a known number of times."""
        looks = self.counts["backbone"]
        assert self.counts["neck"] == looks
        assert max(self.leaves.values(), default=0) <= looks * self.most
        return looks


def test_student_and_average_run_once_and_share_the_assignment(detector, monkeypatch):
    student, average = Forwards(detector), Forwards(detector.teacher.module)
    assigned = []
    for network in (detector, detector.teacher.module):
        assign = network.assign
        monkeypatch.setattr(
            network, "assign", lambda *args, assign=assign: assigned.append(1) or assign(*args)
        )
    losses = losses_of(detector, batch())
    assert losses["loss_con"] > 0
    assert (student.looks(), average.looks(), len(assigned)) == (1, 1, 1)


def test_teach_runs_only_the_average(detector):
    data = detector.eval().data_preprocessor(batch(), False)
    student, average = Forwards(detector), Forwards(detector.teacher.module)
    detector.teach(data["inputs"], data["data_samples"])
    assert (student.looks(), average.looks()) == (0, 1)
    detector.teacher.restart()
    detector.teach(data["inputs"], data["data_samples"])
    assert (student.looks(), average.looks()) == (1, 1)


def test_pseudo_label_images_run_each_network_once(detector):
    student, average = Forwards(detector), Forwards(detector.teacher.module)
    pseudo_label_images(detector, batch())
    assert (student.looks(), average.looks()) == (1, 1)


def test_labelling_runs_once_per_image_with_many_boxes(detector):
    average = Forwards(detector.teacher.module)
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    boxes = np.array([[10.0, 12, 70, 80]] * 12)  # all want the same places
    labeler = AutoLabeler(detector, classes=("one", "two", "three"))
    (masks,) = labeler([BoxedImage(pixels, boxes, ["one"] * 12)])
    assert sum(mask.predicted for mask in masks) == 12
    # the labeller sees every crop and its mirror image, eight crops at a time
    assert average.looks() == (4 if isinstance(detector, DiscoBoxLabeler) else 1)


def test_an_infinite_logit_does_not_reach_a_closed_loss(detector, monkeypatch):
    propose = detector.mask_proposals

    def infinite(*args, **kwargs):
        proposals = propose(*args, **kwargs)
        proposals.logits.data[0, 0, 0] = float("inf")
        return proposals

    monkeypatch.setattr(detector, "mask_proposals", infinite)
    detector.structured_teacher.consistency_gate.set(False)
    losses = losses_of(detector, batch())
    assert losses["loss_con"].item() == losses["loss_nce"].item() == 0


@pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="this torch has no float16 on the CPU"
)
def test_an_object_without_the_centre_of_a_cell_has_no_consistency_loss(detector):
    data = batch((1,))
    instances = data["data_samples"][0].gt_instances
    for x1, x2, covers in ((42.4, 45.6, False), (41.4, 44.6, True)):  # centres at 42 and 46
        instances.bboxes = torch.tensor([[x1, 20.0, x2, 60.0]])
        losses = losses_of(copy.deepcopy(detector), data)
        assert losses["teacher_valid"] == 1
        assert (losses["loss_con"] > 0) == covers


def test_fp16_trains_with_a_scaled_loss(detector):
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    before = copy.deepcopy(detector.state_dict())
    for seed in range(4):
        with torch.autocast("cpu", dtype=torch.float16):
            losses = losses_of(detector, batch(seed=seed))
        assert all(torch.isfinite(value) for value in losses.values())
        optimizer.zero_grad()
        scaler.scale(sum(losses[key] for key in losses if "loss" in key)).backward()
        scaler.step(optimizer)
        scaler.update()
        detector.teacher.update_parameters(detector)
    assert scaler.get_scale() >= 2.0**6  # few steps overflow, if any
    changed = [key for key, value in detector.state_dict().items() if (value != before[key]).any()]
    assert any("mask_head." in key for key in changed)
    assert all(parameter.isfinite().all() for parameter in detector.parameters())


def test_a_detector_can_be_pickled(detector):
    again = pickle.loads(pickle.dumps(detector))
    expected, losses = (losses_of(copy.deepcopy(d), batch()) for d in (detector, again))
    assert {k: v.item() for k, v in losses.items()} == {k: v.item() for k, v in expected.items()}


@pytest.mark.slow
def test_a_compiled_teacher_refines_as_an_eager_one():
    detector = build(tiny_solov2())
    losses_of(detector, batch(seed=7))
    data = detector.data_preprocessor(batch(), False)
    expected = detector.teach(data["inputs"], data["data_samples"])
    teacher = detector.structured_teacher
    teacher.compile(backend="aot_eager")
    compiled = detector.teach(data["inputs"], data["data_samples"])
    torch.testing.assert_close(compiled.masks, expected.masks)
    torch.testing.assert_close(
        compiled.pairs.correspondences.plan, expected.pairs.correspondences.plan
    )


def test_the_state_of_a_loss_is_not_averaged_and_not_published():
    @MODELS.register_module(force=True)
    class CountingLoss(MaskConsistencyLoss):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, *args):
            self.calls += 1
            return super().forward(*args)

    detector = build(tiny_solov2(loss_consistency=dict(type="CountingLoss")))
    losses_of(detector, batch())
    detector.teacher.update_parameters(detector)
    published = publish_weights(detector.state_dict())
    assert "loss_consistency.calls" in detector.state_dict()
    assert published.keys() == build(tiny_solov2(box_supervised=False)).state_dict().keys()


class WithExtraHead(SOLOv2):
    """A task network of a user with a module of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = nn.Linear(2, 3)


def test_a_module_of_the_task_network_is_averaged():
    @MODELS.register_module(force=True)
    class DiscoBoxWithExtraHead(DiscoBoxSOLOv2, WithExtraHead):
        pass

    assert issubclass(DiscoBoxWithExtraHead, StructuredTeachingMixin)
    detector = build(tiny_solov2(type="DiscoBoxWithExtraHead"))
    detector.teacher.update_parameters(detector)
    assert torch.equal(detector.teacher.module.extra.weight, detector.extra.weight)


def test_a_module_that_would_not_be_averaged_is_an_error():
    @MODELS.register_module(force=True)
    class LateModule(DiscoBoxSOLOv2):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = nn.Linear(2, 3)

    detector = build(tiny_solov2(type="LateModule"))
    with pytest.raises(ValueError, match="2 were added after it was copied, first 'extra.bias'"):
        detector.teacher.update_parameters(detector)


def test_a_setting_that_is_set_after_the_copy_reaches_the_average():
    @MODELS.register_module(force=True)
    class LateSetting(DiscoBoxSOLOv2):
        def __init__(self, *args, limit=2, **kwargs):
            super().__init__(*args, **kwargs)
            self.limit = limit

        def assign(self, outputs, objects):
            return super().assign(outputs, objects).subsample(self.limit)

        def mask_proposals(self, outputs, positives, *args, **kwargs):
            counts.append(max(positives.subsample(self.limit).image_counts))
            return super().mask_proposals(outputs, positives, *args, **kwargs)

    counts = []
    detector = build(tiny_solov2(type="LateSetting", limit=1))
    detector.teacher.update_parameters(detector)
    losses_of(detector, batch())
    assert counts == [1, 1]  # student, average
    detector.limit = 3
    losses_of(copy.deepcopy(detector), batch())
    assert counts[2:] == [3, 3]
