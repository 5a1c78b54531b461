"""Findings of the checks of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Level = Literal["error", "warning", "note"]
_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """A fault of a data set, with the number of its occurrences.

    Attributes:
        level: ``'error'`` stops training or trains on wrong boxes, ``'warning'`` costs quality or
            silently drops boxes, ``'note'`` needs no action.
        text: description of the fault.
        fix: how to fix it.
        count: number of occurrences.
        examples: the first occurrences.
    """

    level: Level
    text: str
    fix: str
    count: int = 1
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        examples = "".join(f"\n    - {example}" for example in self.examples)
        more = self.count - len(self.examples)
        rest = f"\n    ... and {more} more" if self.examples and more else ""
        return f"{self.level}: {self.text}. {self.fix}.{examples}{rest}"


def summarize(
    level: Level, occurrences: Iterable[str], *, count: int, text: str, fix: str
) -> list[Finding]:
    """Summarize the occurrences of a fault in one finding; without any, in none.

    Only the first few ``occurrences`` are read. ``text`` may contain ``{count}``.
    """
    if not count:
        return []
    examples = tuple(islice(occurrences, _EXAMPLES))
    return [Finding(level, text.format(count=count), fix, count, examples)]
