"""What a check of a data set finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Level = Literal["error", "warning", "note"]
_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found, with how often and where.

    Attributes:
        level: ``'error'`` stops a training or teaches it wrong boxes, ``'warning'`` costs quality
            or silently drops boxes, ``'note'`` is good to know.
        text: what was found.
        mend: what to do about it.
        count: how often.
        examples: the first places.
    """

    level: Level
    text: str
    mend: str
    count: int = 1
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        places = "".join(f"\n    - {example}" for example in self.examples)
        more = self.count - len(self.examples)
        rest = f"\n    ... and {more} more" if self.examples and more else ""
        return f"{self.level}: {self.text}. {self.mend}.{places}{rest}"


def found(
    level: Level, places: Iterable[str], *, count: int, text: str, mend: str
) -> list[Finding]:
    """Make a finding of ``count`` places, or none where there are no places.

    Args:
        level: see :class:`Finding`.
        places: where; only the first few are read.
        count: number of all places.
        text: what was found; ``{count}`` in it stands for the number.
        mend: what to do about it.
    """
    if not count:
        return []
    examples = tuple(islice(places, _EXAMPLES))
    return [Finding(level, text.format(count=count), mend, count, examples)]
