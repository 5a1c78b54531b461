"""`autolabel.py` in a process of its own, and what it has written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOL = Path(__file__).parents[1] / "tools" / "autolabel.py"


def start(*arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(TOOL), *map(str, arguments), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*arguments: Any, status: int = 0) -> str:
    process = start(*arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output
    return output


def annotations(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["annotations"]
