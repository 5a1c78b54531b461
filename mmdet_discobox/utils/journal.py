"""A journal of finished pieces of work, from which a killed run resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from .types import Json


class Journal:
    """Keep finished pieces of a long run on disk, so that the run resumes after a kill.

    Each piece is one line of json. Opening the journal drops a line that a kill cut short, and all
    lines if the settings differ. ::

        with closing(Journal(path, settings)) as journal:
            if "a" not in journal.done:
                journal.add("a", work("a"))

    Args:
        path: file of the journal.
        settings: settings on which the pieces depend.

    Attributes:
        done: finished pieces by name.
    """

    def __init__(self, path: Path, settings: Json) -> None:
        self.path = path
        self.done: dict[str, Any] = {}
        header = json.dumps(settings)
        valid = self._read(header)
        self._file: TextIO = path.open("a", encoding="utf-8", newline="\n", buffering=1)
        self._file.truncate(valid)
        if not valid:
            self._file.write(f"{header}\n")

    def add(self, name: str, piece: Any) -> None:
        """Append a finished piece."""
        self._file.write(f"{json.dumps([name, piece])}\n")
        self.done[name] = piece

    def close(self) -> None:
        """Close the file; it stays on disk."""
        self._file.close()

    def _read(self, header: str) -> int:
        """Read the finished pieces and return the number of bytes in whole lines."""
        valid = 0
        if not self.path.is_file():
            return valid
        with self.path.open("rb") as file:
            if file.readline() != f"{header}\n".encode():
                return valid
            valid = file.tell()
            for line in file:
                try:
                    name, piece = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                self.done[name] = piece
                valid += len(line)
        return valid
