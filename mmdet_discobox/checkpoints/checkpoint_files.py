"""Read checkpoints without executing code, and write them atomically."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor

from mmdet_discobox.utils import restricted_pickle
from mmdet_discobox.utils.files import write_bytes


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without executing code in it.

    By ``weights_only=True``; before torch 2.6 by :mod:`~mmdet_discobox.utils.restricted_pickle`.

    Args:
        path: checkpoint of mmengine or mmcv 1.x, or a dictionary of weights.

    Returns:
        The checkpoint, with its weights under ``state_dict``.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is no checkpoint, or contains Python objects that are not allowed.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a checkpoint at '{path}', but there is no such file.")
    try:
        checkpoint = torch.load(path, map_location="cpu", **_safe_options(path))
    except UnpicklingError as error:
        raise ValueError(
            f"Expected '{path}' to be a checkpoint of tensors, numbers and text, but reading it "
            f"safely failed: {error}\nIf you trust the file, its `meta` or `optimizer` contains "
            "other Python objects. On the machine of the training, or in a disposable container, "
            "keep the weights alone:\n    torch.save({'state_dict': "
            "torch.load(SRC, weights_only=False)['state_dict']}, DST)"
        ) from error
    except Exception as error:  # damaged files raise many kinds
        raise ValueError(
            f"Expected '{path}' to be a checkpoint, but torch cannot read it: {error}. Download or "
            "copy it again."
        ) from error
    return _with_state_dict(checkpoint, path)


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write or replace a checkpoint atomically; its folder is created.

    Args:
        checkpoint: content of the file.
        path: file to write.
    """
    _write(Path(path), _as_bytes(checkpoint))


def save_hashed_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> Path:
    """Write a checkpoint whose name ends in the start of its SHA-256, as OpenMMLab does.

    Args:
        checkpoint: content of the file.
        path: file to write; a suffix ``.pth`` is replaced.

    Returns:
        The path ``NAME-xxxxxxxx.pth``. Equal contents have equal names.
    """
    content = _as_bytes(checkpoint)
    path = Path(path)
    stem = path.name.removesuffix(".pth")
    hashed = path.with_name(f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    _write(hashed, content)
    return hashed


def shape_mismatches(
    weights: Mapping[str, Tensor], expected: Mapping[str, torch.Size]
) -> dict[str, str]:
    """Describe both shapes of each weight whose shape is not the expected one, by its key."""
    return {
        key: f"{tuple(weights[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in weights and weights[key].shape != shape
    }


def _safe_options(path: str | Path) -> dict[str, Any]:
    """Return the options of ``torch.load`` by which a file executes no code.

    Raises:
        UnpicklingError: for files that this torch reads in an unsafe way.
    """
    if Version(torch.__version__).release >= (2, 6):
        return dict(weights_only=True)
    restricted_pickle.check_kind(path)
    return dict(weights_only=False, pickle_module=restricted_pickle)


def _with_state_dict(checkpoint: Any, path: str | Path) -> dict[str, Any]:
    if isinstance(checkpoint, Mapping) and "state_dict" not in checkpoint:
        checkpoint = dict(state_dict=checkpoint)
    weights = checkpoint["state_dict"] if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(f"Expected '{path}' to hold weights under `state_dict`, but it has none.")
    if others := [key for key, value in weights.items() if not isinstance(value, Tensor)]:
        raise ValueError(
            f"Expected the `state_dict` of '{path}' to hold tensors, but {others[:5]} are none. "
            "Use the checkpoint written by the training."
        )
    return dict(checkpoint)


def _as_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    # torch stores the name of a file in it: written directly, equal contents would differ
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
