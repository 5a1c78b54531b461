"""What the hook takes from each iteration, and when it looks."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.logging import HistoryBuffer

from mmdet_discobox.engine.hooks import StructuredTeacherHook, TeacherEMAHook
from mmdet_discobox.models.teachers import StructuredTeacher

TERM = dict(type="CrossImageTerm", num_classes=3, channels=4, size=4)


def runner_of(max_iters=20):
    teacher = StructuredTeacher(cross_image=TERM)
    model = SimpleNamespace(structured_teacher=teacher)
    return SimpleNamespace(
        model=model,
        iter=0,
        max_iters=max_iters,
        hooks=[],
        logger=logging.getLogger(),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace(pipeline=[])),
    )


def follow(hook, runner, losses):
    """Run the hook after iterations with these MIL losses; when the gates were open."""
    teacher = runner.model.structured_teacher
    gates = []
    for loss in losses:
        hook.after_train_iter(runner, 0, outputs=dict(loss_mil=torch.tensor(loss)))
        gates.append((teacher.consistency_gate.is_open, teacher.cross_image.gate.is_open))
        runner.iter += 1
    return gates


@pytest.mark.parametrize("nothing", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_losses_that_say_nothing_are_left_out(nothing, place):
    losses = [2.0, 1.0, 4.0]
    runner, hook = runner_of(), StructuredTeacherHook(smoothing=0.5)
    hook.before_train(runner)
    follow(hook, runner, [*losses[:place], nothing, nothing, *losses[place:]])
    expected = 0.5 * (0.5 * (2.0 + 1.0)) + 0.5 * 4.0
    assert runner.model.structured_teacher.running_mil.item() == expected


def test_before_the_first_object_nothing_is_known():
    runner, hook = runner_of(), StructuredTeacherHook(consistency=dict(mil_below=9.0), interval=1)
    hook.before_train(runner)
    assert follow(hook, runner, [0.0, 0.0]) == [(False, False)] * 2
    assert runner.model.structured_teacher.running_mil.item() == math.inf


def test_a_checkpoint_with_nan_recovers():
    runner, hook = runner_of(), StructuredTeacherHook()
    runner.model.structured_teacher.running_mil.fill_(math.nan)
    runner.iter = 5
    hook.before_train(runner)
    follow(hook, runner, [3.0])
    assert runner.model.structured_teacher.running_mil.item() == 3


def test_iterations_and_fractions_are_exact_and_the_loss_is_looked_at_by_interval():
    hook = StructuredTeacherHook(
        consistency=dict(iteration=3), correspondence=dict(fraction=0.3), interval=10
    )
    runner = runner_of()
    hook.before_train(runner)
    gates = follow(hook, runner, [1.0] * 8)
    assert gates == [(False, False)] * 2 + [(True, False)] * 3 + [(True, True)] * 3
    hook = StructuredTeacherHook(
        consistency=dict(mil_below=5.0), correspondence=dict(iteration=2), interval=4
    )
    runner = runner_of()
    hook.before_train(runner)
    assert follow(hook, runner, [1.0] * 5) == [(False, False)] * 3 + [(True, True)] * 2


@pytest.mark.parametrize("name", ["teacher_valid", "teacher_agreement"])
def test_a_collapse_is_told_once_until_it_ends(monkeypatch, caplog, name):
    monkeypatch.setattr("mmdet_discobox.engine.hooks.structured_teacher_hook._WINDOW", 5)
    runner, hook = runner_of(max_iters=1000), StructuredTeacherHook(consistency=dict(iteration=10))
    scalars = {f"train/{key}": HistoryBuffer() for key in ("teacher_valid", "teacher_agreement")}
    runner.message_hub = SimpleNamespace(log_scalars=scalars)
    hook.before_train(runner)
    told = []
    #        shut    healthy    collapsed  healthy    collapsed
    for mean in [0.0] * 10 + [0.5] * 12 + [0.0] * 20 + [0.5] * 12 + [0.0] * 12:
        for key, buffer in scalars.items():
            buffer.update(mean if key == f"train/{name}" else 0.5)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            hook.after_train_iter(runner, 0, outputs=dict(loss_mil=torch.tensor(1.0)))
        told += [runner.iter] if f"{name} were below" in caplog.text else []
        runner.iter += 1
    assert len(told) == 2
    assert 22 < told[0] < 42
    assert 54 < told[1] < 66


@pytest.mark.parametrize(
    ("name", "wrong"), [("smoothing", 0.0), ("smoothing", 5.0), ("interval", 0)]
)
def test_settings_out_of_range_are_errors(name, wrong):
    with pytest.raises(ValueError, match=rf"Expected `{name}` to be in .* but got {wrong}\."):
        StructuredTeacherHook(**{name: wrong})


def test_a_forgotten_setting_of_mixed_supervision_stops_the_training():
    runner = runner_of()
    runner.train_dataloader.dataset.use_masks = True
    with pytest.raises(ValueError, match="Expected all three settings of mixed supervision"):
        StructuredTeacherHook().before_train(runner)


@pytest.mark.parametrize("others", [[], [StructuredTeacherHook()], [TeacherEMAHook()]])
@pytest.mark.parametrize("teacher_network", [None, torch.nn.Identity()])
def test_a_teacher_network_that_no_hook_updates_stops_the_training(others, teacher_network):
    runner = runner_of()
    runner.hooks, runner.model.teacher = others, teacher_network
    updated = any(isinstance(hook, TeacherEMAHook) for hook in others)
    if updated or teacher_network is None:
        StructuredTeacherHook().before_train(runner)
        assert runner.model.structured_teacher.consistency_gate.is_open
        return
    with pytest.raises(ValueError, match="Expected a TeacherEMAHook .* set `teacher_network=None`"):
        StructuredTeacherHook().before_train(runner)


RESIZE = dict(type="BatchResize", scale=(160, 160))
SYNC_RESIZE = dict(type="BatchSyncRandomResize", random_size_range=(160, 192), interval=1)
PAD = dict(type="BatchFixedSizePad", size=(192, 192))


@pytest.mark.parametrize(
    ("augments", "named"),
    [
        ([RESIZE], "BatchResize"),
        ([PAD, SYNC_RESIZE], "BatchSyncRandomResize"),
        ([PAD], None),
        (None, None),
    ],
    ids=["resize", "sync", "pad", "none"],
)
@pytest.mark.parametrize("true_masks", [False, True])
def test_batch_augments_that_leave_true_masks_behind_stop_the_training(augments, named, true_masks):
    """mmdet's resize images and boxes of the batch, but no masks."""
    runner = runner_of()
    runner.model.true_masks = true_masks
    runner.model.data_preprocessor = MODELS.build(
        dict(type="DetDataPreprocessor", batch_augments=augments)
    )
    if true_masks:
        data = runner.train_dataloader.dataset
        data.use_masks, data.pipeline = True, [TRANSFORMS.build(dict(type="LoadTrueMasks"))]
    if not (named and true_masks):
        StructuredTeacherHook().before_train(runner)
        return
    with pytest.raises(ValueError, match=f"but got {named}. Remove it, and resize in the pipeline"):
        StructuredTeacherHook().before_train(runner)
