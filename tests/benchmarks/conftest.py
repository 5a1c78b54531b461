"""The scripts that make the small data sets, which are a folder and no package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "data"
MODULES = ("coco_files", "records", "subsets", "build")


@pytest.fixture(scope="module")
def data_scripts():
    """Import them by name, as the command does, and forget them afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in MODULES:
            sys.modules.pop(name, None)
