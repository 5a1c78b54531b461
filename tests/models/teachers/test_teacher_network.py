"""The averaged network: recursion, state, and no training."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmdet_discobox.models.teachers import TeacherNetwork


def student(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))


def move(model, seed):
    """One step of a training: other weights, other running statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model.train()(torch.randn(4, 2, 5, 5, generator=generator))


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_first_update_copies():
    model = student()
    teacher = TeacherNetwork(model)
    assert not teacher.started
    move(model, 1)
    assert not equal(weights(teacher), weights(model))
    teacher.update_parameters(model)
    assert teacher.started
    assert equal(weights(teacher), weights(model))
    move(model, 2)
    assert not equal(weights(teacher), weights(model))


@pytest.mark.parametrize(
    ("momentum", "warmup"), [(0.001, 0.0), (0.001, 10.0), (0.3, 2.0), (0.2, 0.5)]
)
def test_updates_follow_the_formula(momentum, warmup):
    model = student()
    teacher = TeacherNetwork(model, momentum=momentum, warmup=warmup)
    expected = None
    for update in range(30):
        move(model, update)
        teacher.update_parameters(model)
        current = [parameter.double() for parameter in weights(model)]
        young = warmup / (warmup + update) if warmup + update else 1.0
        step = max(momentum, young) if update else 1.0
        previous = expected or current
        expected = [p + step * (c - p) for p, c in zip(previous, current, strict=True)]
        for average, value in zip(weights(teacher), expected, strict=True):
            assert torch.allclose(average.double(), value, atol=1e-5)
    assert teacher.steps.item() == 30


def test_without_warmup_it_is_the_paper_s_rule():
    model = student()
    teacher = TeacherNetwork(model, warmup=0)
    teacher.update_parameters(model)
    before = weights(teacher)
    move(model, 1)
    teacher.update_parameters(model)
    for average, old, new in zip(weights(teacher), before, weights(model), strict=True):
        assert torch.allclose(average, 0.999 * old + 0.001 * new, atol=1e-7)


def test_warmup_1_is_the_mean_of_all_students():
    model = student()
    teacher = TeacherNetwork(model, warmup=1.0)
    history = []
    for update in range(20):
        move(model, update)
        teacher.update_parameters(model)
        history.append(weights(model)[0])
    # with warmup 1 the step after n updates is 1 / (n + 1): the plain mean of all students
    assert torch.allclose(weights(teacher)[0], torch.stack(history).mean(0), atol=1e-5)


def test_buffers_follow_the_student():
    model = student()
    teacher = TeacherNetwork(model, warmup=0)
    for update in range(3):
        move(model, update)
        teacher.update_parameters(model)
    for ours, theirs in zip(teacher.module.buffers(), model.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert teacher.module[1].num_batches_tracked.item() == 3
    move(model, 3)
    assert teacher.module[1].num_batches_tracked.item() == 3


class Detector(nn.Module):
    """A network with its teacher network and modules that were added later."""

    def __init__(self):
        super().__init__()
        self.net = student()
        self.teacher = TeacherNetwork(self, warmup=0)
        self.structured_teacher = nn.BatchNorm2d(7)


def test_additions_that_came_after_the_copy_do_not_matter():
    detector = Detector()
    names = {name for name, _ in detector.teacher.module.named_parameters()}
    assert names == {f"net.{name}" for name, _ in detector.net.named_parameters()}
    move(detector.net, 1)
    detector.teacher.update_parameters(detector)
    assert equal(weights(detector.teacher), weights(detector.net))
    for ours, theirs in zip(detector.teacher.module.buffers(), detector.net.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_module_that_came_after_the_copy_is_an_error():
    detector = Detector()
    detector.late = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="2 were added after it was copied, first 'late.bias'"):
        detector.teacher.update_parameters(detector)


def test_it_never_trains():
    detector = Detector().train()
    assert detector.net.training
    assert not any(module.training for module in detector.teacher.modules())
    assert detector.teacher.train() is detector.teacher
    assert not any(parameter.requires_grad for parameter in detector.teacher.parameters())
    before = [buffer.clone() for buffer in detector.teacher.module.buffers()]
    detector.teacher.module.net(torch.randn(4, 2, 5, 5))
    assert equal(before, detector.teacher.module.buffers())


def test_the_student_s_graph_is_not_touched():
    model = student()
    teacher = TeacherNetwork(model)
    teacher.update_parameters(model)
    move(model, 1)
    loss = model(torch.randn(4, 2, 5, 5)).sum()
    teacher.update_parameters(model)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_checkpoint_continues_exactly():
    model = student()
    teacher = TeacherNetwork(model, momentum=0.01, warmup=5.0)
    for update in range(4):
        move(model, update)
        teacher.update_parameters(model)
    resumed = TeacherNetwork(student(seed=9), momentum=0.01, warmup=5.0)
    resumed.load_state_dict(copy.deepcopy(teacher.state_dict()))
    assert resumed.started
    for update in range(4, 8):
        move(model, update)
        teacher.update_parameters(model)
        resumed.update_parameters(model)
    ours, theirs = resumed.state_dict(), teacher.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_checkpoint_from_before_the_first_update_has_not_started():
    model = student()
    teacher = TeacherNetwork(model)
    teacher.update_parameters(model)
    teacher.load_state_dict(TeacherNetwork(model).state_dict())
    assert not teacher.started


def test_after_a_restart_the_next_update_copies():
    model = student()
    teacher = TeacherNetwork(model)
    for update in range(3):
        move(model, update)
        teacher.update_parameters(model)
    assert not equal(weights(teacher), weights(model))
    teacher.restart()
    assert not teacher.started
    assert teacher.steps.item() == 0
    teacher.update_parameters(model)
    assert equal(weights(teacher), weights(model))
    assert teacher.steps.item() == 1


def test_a_checkpoint_of_the_student_alone_does_not_start_it():
    detector = Detector()
    detector.load_state_dict(student_state(detector), strict=False)
    assert not detector.teacher.started


def student_state(detector):
    return {k: v for k, v in detector.state_dict().items() if not k.startswith("teacher.")}


def test_a_copy_moves_alone():
    detector = Detector()
    twin = copy.deepcopy(detector)
    before = weights(detector.teacher)
    move(twin.net, 1)
    twin.teacher.update_parameters(twin)
    assert equal(weights(twin.teacher), weights(twin.net))
    assert equal(weights(detector.teacher), before)


def test_weights_that_were_assigned_are_averaged():
    model = student()
    teacher = TeacherNetwork(model)
    teacher.load_state_dict(copy.deepcopy(teacher.state_dict()), assign=True)
    move(model, 1)
    teacher.update_parameters(model)
    assert equal(weights(teacher), weights(model))


def test_negative_warmup():
    with pytest.raises(ValueError, match="Expected `warmup` to be at least 0 but got -1"):
        TeacherNetwork(student(), warmup=-1)
