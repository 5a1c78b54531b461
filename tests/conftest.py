"""What every test shares: the default scope, one thread, and the folder of real photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

# The tests compare with tensors of the CPU. Set it to run them beside a GPU all the same.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# One thread, also in the processes that tests start: tensors are small, runs compare to the last
# bit, and two processes with a thread per core take twice the time of two with one thread each.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from mmengine.registry import init_default_scope

import mmdet_discobox  # noqa: F401 - registers everything, as `custom_imports` does


@pytest.fixture(autouse=True)
def _mmdet_scope() -> None:
    """Resolve names in MMDetection's registries, as every config of the package does."""
    init_default_scope("mmdet")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Restore the variables that a command set, as the studies do: they are for its own process."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def discobox_data() -> Path:
    """Folder of real data sets, from the environment variable ``DISCOBOX_DATA``."""
    folder = os.environ.get("DISCOBOX_DATA")
    if not folder:
        pytest.skip("DISCOBOX_DATA is not set: no photographs to test on")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"DISCOBOX_DATA={folder} is no folder: no photographs to test on")
    return path
