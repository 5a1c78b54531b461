"""When the teacher network starts."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from tiny import build, tiny_solov2

from mmdet_discobox.engine.hooks import StructuredTeacherHook, TeacherEMAHook


@pytest.fixture
def runner():
    return SimpleNamespace(
        model=build(tiny_solov2()),
        iter=0,
        max_iters=100,
        hooks=[StructuredTeacherHook()],
        logger=logging.getLogger(),
        optim_wrapper=SimpleNamespace(should_update=lambda: True),
    )


def test_it_starts_when_the_running_loss_has_fallen(runner):
    hook = TeacherEMAHook(start=dict(mil_below=0.5))
    hook.before_train(runner)
    for running, started in ((float("inf"), False), (0.6, False), (0.4, True), (0.6, True)):
        runner.model.structured_teacher.running_mil.fill_(running)
        hook.after_train_iter(runner, 0)
        assert runner.model.teacher.started is started
    assert runner.model.teacher.steps.item() == 2


def test_a_running_loss_that_nobody_keeps_is_an_error(runner):
    runner.hooks = [TeacherEMAHook()]
    TeacherEMAHook(start=dict(iteration=3)).before_train(runner)
    with pytest.raises(ValueError, match=r"Expected a StructuredTeacherHook .* got TeacherEMAHook"):
        TeacherEMAHook(start=dict(iteration=3, mil_below=0.5)).before_train(runner)


def test_a_resumed_training_keeps_its_teacher(runner):
    runner.model.teacher.update_parameters(runner.model)
    runner.iter = 1
    TeacherEMAHook().before_train(runner)
    assert runner.model.teacher.started
    runner.iter = 0
    TeacherEMAHook().before_train(runner)
    assert not runner.model.teacher.started
