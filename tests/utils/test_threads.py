"""How many threads torch computes with."""

from __future__ import annotations

import os

import pytest
import torch

from mmdet_discobox.utils.threads import leave_a_core


@pytest.fixture(autouse=True)
def _threads_of_the_tests(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cores", "present", "threads"), [(1, 1, 1), (2, 2, 1), (8, 8, 7), (8, 4, 4)]
)
def test_a_core_stays_free(monkeypatch, cores, present, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    torch.set_num_threads(present)
    assert leave_a_core() == threads
    assert leave_a_core() == threads


def test_the_user_decides(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    torch.set_num_threads(2)
    assert leave_a_core() == 2
