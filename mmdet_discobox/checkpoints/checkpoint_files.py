"""Read checkpoints without running what they hold, and write them in one piece."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from mmdet_discobox.utils.files import write_bytes

#: what a DiscoBox detector adds to the task network, by prefix: a published student has none of it
ADDITIONS = ("teacher.", "structured_teacher.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU with ``weights_only=True``: no code of the file is run.

    Args:
        path: a file of mmengine, of mmcv 1.x, or a bare dictionary of weights.

    Returns:
        The checkpoint, with its weights under ``state_dict``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, or holds Python objects that may not be loaded.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a checkpoint at '{path}', but there is no such file.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"Expected '{path}' to be a checkpoint of tensors, numbers and text, but reading it "
            f"safely failed: {error}\nIf the file is a checkpoint that you trust, its `meta` or "
            "`optimizer` names other Python objects. Where it was trained, or in a throw-away "
            "container, keep the weights alone:\n    torch.save({'state_dict': "
            "torch.load(SRC, weights_only=False)['state_dict']}, DST)"
        ) from error
    except (RuntimeError, EOFError, KeyError) as error:
        raise ValueError(
            f"Expected '{path}' to be a checkpoint, but torch cannot read it: {error}. Download or "
            "copy it again."
        ) from error
    return _with_state_dict(checkpoint, path)


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint in one piece: whoever looks finds the whole file or none.

    Args:
        checkpoint: what to write.
        path: file to write or replace; its folder is made.
    """
    _write(Path(path), _as_bytes(checkpoint))


def save_hashed_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> Path:
    """Write a checkpoint under a name that ends in the start of its SHA-256, as OpenMMLab does.

    Args:
        checkpoint: what to write.
        path: the name without the suffix; ``.pth`` at its end is taken off first.

    Returns:
        The file ``NAME-xxxxxxxx.pth``. Equal contents give equal names.
    """
    content = _as_bytes(checkpoint)
    path = Path(path)
    stem = path.name.removesuffix(".pth")
    hashed = path.with_name(f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    _write(hashed, content)
    return hashed


def _with_state_dict(checkpoint: Any, path: str | Path) -> dict[str, Any]:
    if isinstance(checkpoint, Mapping) and "state_dict" not in checkpoint:
        checkpoint = dict(state_dict=checkpoint)
    weights = checkpoint["state_dict"] if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(f"Expected '{path}' to hold weights under `state_dict`, but it has none.")
    if others := [key for key, value in weights.items() if not isinstance(value, Tensor)]:
        raise ValueError(
            f"Expected the `state_dict` of '{path}' to hold tensors, but {others[:5]} are none. "
            "Give the file that the training wrote."
        )
    return dict(checkpoint)


def _as_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    # Written to a file, torch keeps the file's name inside, and equal contents would differ.
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
