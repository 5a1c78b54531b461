"""A step reads of the device only how many masks there are, and copies no number of ours to it.

On a GPU both wait. What is counted is what a CPU shows: calls that read, and calls that make
tensors of numbers of the host. A tensor of the host that a step moves is not seen.
"""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import batch, build, losses_of, tiny_rtmdet_ins, tiny_solov2, tiny_yolact
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_discobox.engine.hooks import StructuredTeacherHook, TeacherEMAHook
from mmdet_discobox.structures import PartialMasks

#: operators whose result, or its size, the host has to read; how often
READING = dict(
    _local_scalar_dense=1,
    nonzero=1,
    masked_select=1,
    equal=1,
    _unique2=1,
    unique_dim=1,
    unique_consecutive=1,
    repeat_interleave=1,
    bincount=2,  # smallest and largest number
)
#: methods of a tensor that copy it to the host without an operator, if it is there already
COPYING = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu)
#: functions that copy numbers from the host to the device
MAKING = (torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor)
#: what only looks like waiting: a one-hot code that no GPU makes. (mmcv's operator, in its place,
#: reads the largest label)
HOST_FILE = "/focal_loss.py"


class Synchronisations(TorchDispatchMode):
    """Where a GPU would have to be waited for: functions of the stack, the innermost first."""

    def __init__(self):
        super().__init__()
        self.found, self.made = [], []
        self.methods = _CopyingMethods(self)

    def __enter__(self):
        self.methods.__enter__()
        return super().__enter__()

    def __exit__(self, *exc_info):
        super().__exit__(*exc_info)
        self.methods.__exit__(*exc_info)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        times = READING.get(name, 0)
        if name in ("index", "index_put", "index_put_"):
            times = sum(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        self.report(times)
        return func(*args, **(kwargs or {}))

    def report(self, times=1):
        self.found += self.stacks(times)

    def stacks(self, times=1):
        stack = traceback.extract_stack()[::-1] if times else []
        if any(frame.filename.endswith(HOST_FILE) for frame in stack):
            return []
        return [[frame.name for frame in stack]] * times


class _CopyingMethods(TorchFunctionMode):
    def __init__(self, synchronisations):
        super().__init__()
        self.synchronisations = synchronisations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in COPYING or (func is torch.Tensor.to and "cpu" in args):
            self.synchronisations.report()
        if func in MAKING:
            self.synchronisations.made += self.synchronisations.stacks()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: range(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.numpy(),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: torch.where(x > 1),
        lambda x: x.masked_select(x > 1),
        lambda x: x.repeat_interleave(x),
        lambda x: x.unique(),
    ],
    ids=[
        "item",
        "bool",
        "index",
        "tolist",
        "cpu",
        "to",
        "numpy",
        "nonzero",
        "mask",
        "where",
        "select",
        "repeat",
        "unique",
    ],
)
def test_what_waits_is_found(read):
    numbers = torch.arange(4)
    with Synchronisations() as synchronisations:
        read(numbers)
    assert len(synchronisations.found) == 1


def test_what_does_not_wait_is_not_found():
    numbers = torch.arange(4)
    with Synchronisations() as synchronisations:
        torch.where(numbers > 1, numbers, 0)[numbers].masked_fill(numbers > 2, 0).topk(2)
    assert not synchronisations.found


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.tensor([1, 2], device=x.device),
        lambda x: x.new_tensor([1, 2]),
        lambda x: torch.as_tensor([1, 2]),
    ],
    ids=["tensor", "new_tensor", "as_tensor"],
)
def test_what_copies_from_the_host_is_found(make):
    numbers = torch.arange(4)
    with Synchronisations() as synchronisations:
        make(numbers)
        numbers.new_full((2,), 3) + torch.zeros(2) + torch.arange(2)
    assert len(synchronisations.made) == 1


@pytest.mark.parametrize(
    ("tiny", "expected", "made"),
    [
        # the number of positive cells of each image; the average shares the assignment
        pytest.param(tiny_solov2, ["assign_cells"], [], id="solov2"),
        # positive anchors, of the batch and of each image; objects that have some, likewise.
        # Copies are of mmdet: the eps of its IoU; its box coder, means and deviations
        pytest.param(
            tiny_yolact,
            ["assign_anchors"] * 2 + ["mean_coefficients"] * 2,
            ["bbox_overlaps"] + ["encode"] * 2,
            id="yolact",
        ),
        # objects of each image; positive priors of each image; mmdet's quality focal loss.
        # The copies are of mmdet: the eps of its IoU, in the assignment and in the box loss
        pytest.param(
            tiny_rtmdet_ins,
            ["assign", "assign_priors", "quality_focal_loss"],
            ["assign_priors", "losses"],
            id="rtmdet_ins",
        ),
    ],
)
def test_a_step_reads_the_numbers_of_masks_alone(tiny, expected, made):
    model = build(tiny())
    runner = SimpleNamespace(
        model=model,
        iter=9,
        max_iters=100,
        optim_wrapper=SimpleNamespace(should_update=lambda: True),
    )
    hooks = [TeacherEMAHook(), StructuredTeacherHook(consistency=dict(iteration=0))]
    model.teacher.update_parameters(model)
    for seed in range(2):  # fills the bank
        losses_of(model, batch(seed=seed))
    data = model.data_preprocessor(batch(seed=2), True)
    for sample in data["data_samples"]:
        sample.gt_instances.cut_sides = sample.gt_instances.bboxes < 20
    with Synchronisations() as synchronisations:
        losses = model(**data, mode="loss")
        total, log = model.parse_losses(losses)
        total.backward()
        for hook in hooks:
            hook.after_train_iter(runner, 0, outputs=log)
    assert losses["loss_nce"] > 0, "objects of the bank were matched"
    assert sorted(places(synchronisations.found, expected)) == expected
    assert sorted(places(synchronisations.made, made)) == made


@pytest.mark.parametrize("tiny", [tiny_solov2, tiny_yolact])
def test_true_masks_add_no_read(tiny):
    """Masks and indices are moved from pinned memory, which is not seen here and does not wait."""
    counts = []
    for options in ({}, dict(true_masks=True)):
        model = build(tiny(**options))
        model.teacher.update_parameters(model)
        data = batch((2, 1))
        for sample in data["data_samples"]:
            masks = np.ones((len(sample.gt_instances), 96, 96), np.uint8)
            sample.gt_instances.masks = PartialMasks(masks, 96, 96)
        data = model.data_preprocessor(data, True)
        with Synchronisations() as synchronisations:
            losses = model(**data, mode="loss")
            sum(losses[key] for key in losses if "loss" in key).backward()
        counts.append((len(synchronisations.found), len(synchronisations.made)))
    assert counts[0] == counts[1]


def places(stacks, known):
    """The known function of each stack, or its innermost where there is none."""
    return [next((name for name in stack if name in known), stack[:6]) for stack in stacks]


@pytest.mark.parametrize(
    ("opening", "looks"), [(dict(fraction=0.9), 0), (dict(iteration=50, mil_below=0.0), 2)]
)
def test_the_running_loss_is_read_only_where_a_shut_gate_follows_it(opening, looks):
    model = build(tiny_solov2())
    loader = SimpleNamespace(dataset=[])
    runner = SimpleNamespace(
        model=model, iter=0, max_iters=100, train_dataloader=loader, hooks=[TeacherEMAHook()]
    )
    hook = StructuredTeacherHook(consistency=opening, interval=10)
    hook.before_train(runner)
    losses = dict(loss_mil=torch.tensor(1.0))
    with Synchronisations() as synchronisations:
        for runner.iter in range(20):
            hook.after_train_iter(runner, 0, outputs=losses)
    assert len(synchronisations.found) == looks
