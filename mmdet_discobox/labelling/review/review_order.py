"""The order in which masks are proposed to a person for review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def proposed_order(classes: Sequence[str], qualities: Sequence[float]) -> list[int]:
    """Return the indices of masks in the order in which to look at them.

    The worst mask of each class comes first, then the second of each, and so on; among these, those
    of lower quality first.

    Args:
        classes: name of the class of each mask.
        qualities: ``mask_quality`` of each.
    """
    seen: Counter[str] = Counter()
    turns = {}
    for index in sorted(range(len(classes)), key=lambda i: qualities[i]):
        turns[index] = seen[classes[index]]
        seen[classes[index]] += 1
    return sorted(turns, key=lambda i: (turns[i], qualities[i], i))
