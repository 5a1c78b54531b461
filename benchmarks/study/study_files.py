"""Files of a study, and records of the machine and the code."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmdet_discobox.utils.types import Json
from mmdet_discobox.utils.versions import distribution_of

ROOT = Path(__file__).resolve().parents[2]


def read_json(path: Path) -> Any:
    """Read a json file; None if it does not exist."""
    return json.loads(path.read_text()) if path.exists() else None


def read_complete_json(path: Path) -> Any:
    """Read a json file; None if it does not exist, or was cut short by a kill."""
    try:
        return read_json(path)
    except ValueError:  # of the json, or of a cut character
        return None


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Hold a lock file until the end of the context and of all child processes that inherit it.

    Args:
        path: lock file.
        wait: whether to wait for another process that holds the lock.

    Yields:
        Descriptor of the file, None if another process holds the lock.
    """
    import fcntl  # not on every system; imported here because reports need no lock

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield file.fileno()


def error_in(log: str) -> str:
    """Return the last error in a log of `mim` that is not an error of `mim` itself."""
    found = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*", log, re.MULTILINE)
    own = [line for line in found if "CalledProcessError" not in line]
    return (own or log.strip().splitlines() or ["no output"])[-1][:300]


def revision() -> str | None:
    """Return the commit of this repository, marked if files were changed; None without git."""
    words = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def machine(gpus: int) -> Json:
    """Describe the hardware and the versions that the speed depends on."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else []
    names = ("torch", distribution_of("mmcv"), distribution_of("mmdet"))
    versions = {name: importlib.metadata.version(name) for name in names}
    return dict(
        cpu=models[0] if models else platform.processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name(0) if gpus and torch.cuda.is_available() else None,
        **versions,
    )
