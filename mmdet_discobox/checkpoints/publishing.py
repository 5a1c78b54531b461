"""Reduce the checkpoint of a training to the weights of one network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from mmdet_discobox.models.teachers import ADDITIONS

_TEACHER = "teacher.module."
_KEPT_META = ("dataset_meta", "CLASSES", "cfg", "epoch", "iter", "mmengine_version")


def publish_weights(
    state_dict: Mapping[str, Tensor], *, network: Literal["student", "teacher"] = "student"
) -> dict[str, Tensor]:
    """Select the weights of one task network, under stock keys.

    Teacher network, structured teacher and object bank are dropped. The rest loads into the trained
    detector and into the stock one (stock YOLACT ignores the re-scoring layers of a YOLACT++).

    Args:
        state_dict: weights of a detector, with or without a teacher network.
        network: ``'teacher'`` selects the exponential moving average (Sec. 3.5).

    Raises:
        ValueError: if ``network`` is another name, or the network is not in the weights.
    """
    if network not in ("student", "teacher"):
        raise ValueError(f"Expected `network` to be 'student' or 'teacher' but got {network!r}.")
    student = {key: value for key, value in state_dict.items() if not key.startswith(ADDITIONS)}
    if network == "teacher":
        return _teacher_weights(state_dict, student)
    if not student:
        raise ValueError("Expected the weights of a detector, but there is no student in them.")
    return student


def publish_checkpoint(
    checkpoint: Mapping[str, Any],
    *,
    network: Literal["student", "teacher"] = "student",
    half: bool = False,
    config: bool = True,
) -> dict[str, Any]:
    """Reduce a checkpoint to the weights of one network and their description.

    Optimiser, schedules, logs and the average of an ``EMAHook`` are dropped (with that hook, the
    average is the ``state_dict`` already). The result holds tensors, numbers and text alone, so
    every version of torch reads it with ``weights_only=True``.

    Args:
        checkpoint: a checkpoint of mmengine.
        network: see :func:`publish_weights`.
        half: store weights in float16, half the size; they load into float32 models.
        config: keep the config of the training, which names folders of its machine.

    Returns:
        ``meta`` and ``state_dict``.

    Raises:
        ValueError: see :func:`publish_weights`, or a weight is too large for float16.
    """
    meta = checkpoint.get("meta") or {}
    keys = [key for key in _KEPT_META if key in meta and (config or key != "cfg")]
    weights = publish_weights(checkpoint["state_dict"], network=network)
    if half:
        weights = {key: _half(key, value) for key, value in weights.items()}
    return dict(
        meta=dict({key: _plain(meta[key]) for key in keys}, published_network=network),
        state_dict=weights,
    )


def _teacher_weights(
    state_dict: Mapping[str, Tensor], student: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    teacher = {
        key.removeprefix(_TEACHER): value
        for key, value in state_dict.items()
        if key.startswith(_TEACHER)
    }
    if not teacher:
        raise ValueError(
            "Expected a teacher network (keys `teacher.module.*`) to publish, but there is none. "
            "Train with `teacher_network=dict()` in the model, or publish the student."
        )
    if not int(state_dict.get("teacher.steps", 0)):
        raise ValueError(
            "Expected an average of the student as teacher network, but it was never updated and "
            "has its initial weights. Train with a TeacherEMAHook, or publish the student."
        )
    if difference := sorted(teacher.keys() ^ student.keys()):
        raise ValueError(
            "Expected the teacher network to have the keys of the student, but these are in one "
            f"of them alone: {', '.join(difference[:10])}."
        )
    return teacher


def _half(key: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    if (half.isinf() & value.isfinite()).any():
        raise ValueError(
            f"Expected weights up to {torch.finfo(torch.float16).max:.0f} for float16, but "
            f"{key!r} has {value.abs().max():g}. Publish with half=False (without --half)."
        )
    return half


def _plain(value: Any) -> Any:
    """Convert containers of numbers and text to those of Python, and other objects to text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    return value.tolist() if hasattr(value, "tolist") else str(value)
