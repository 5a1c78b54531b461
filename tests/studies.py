"""The modules of the study, which is a folder of scripts and no package."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
MODULES = (
    "study_files", "study_configs", "study_rows", "study_measures", "study_settings", "study_runs",
    "study_tables", "study_plots", "study_report", "study",
)  # fmt: skip


def study_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Import them by name, as the command does, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setitem(os.environ, "DISCOBOX_DATA", "/nowhere")
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)
