"""Read the pairs of SPair-71k.

Each line of ``Layout/<size>/<split>.txt`` is the name of a pair, such as
``000001-2007_000175-2007_000256:aeroplane``, with an annotation
``PairAnnotation/<split>/<name>.json`` and two images in ``JPEGImages/<class>``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_discobox.utils.paths import require_paths

from .keypoint_pair import KeypointImage, KeypointPair

_SOURCE = "SPair-71k is at https://cvlab.postech.ac.kr/research/SPair-71k/."


def read_spair(
    root: str | Path, *, split: str = "test", layout: str = "large"
) -> list[KeypointPair]:
    """Read the pairs of a split with common key points and boxes.

    Args:
        root: folder ``SPair-71k``.
        split: "trn", "val" or "test".
        layout: "large" or "small".

    Returns:
        The pairs in the order of the list. All their key points are visible, because the
        annotation has only those common to both images.

    Raises:
        FileNotFoundError: if the list, annotations or images are missing.
        ValueError: if an annotation differs from the published form.
    """
    root = Path(root)
    names_file = root / "Layout" / layout / f"{split}.txt"
    require_paths([names_file], source=_SOURCE)
    names = names_file.read_text(encoding="utf-8").split()
    files = [root / "PairAnnotation" / split / f"{name}.json" for name in names]
    require_paths(files, source=_SOURCE)
    pairs = [_read_pair(root, file) for file in files]
    images = dict.fromkeys(side.path for pair in pairs for side in (pair.source, pair.target))
    require_paths(images, source=_SOURCE)
    return pairs


def _read_pair(root: Path, file: Path) -> KeypointPair:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        folder = root / "JPEGImages" / content["category"]
        source, target = (_image(folder, content, side) for side in ("src", "trg"))
        return KeypointPair(file.stem, content["category"], source, target)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected '{file}' to have `category` and, for `src` and `trg`, `_imname`, `_kps` "
            f"(a list of [x, y]) and `_bndbox` [x1, y1, x2, y2], but got {error!r}. {_SOURCE}"
        ) from error


def _image(folder: Path, content: dict[str, Any], side: str) -> KeypointImage:
    points = np.array(content[f"{side}_kps"], dtype=np.float64)
    box = np.array(content[f"{side}_bndbox"], dtype=np.float64)
    return KeypointImage(
        folder / content[f"{side}_imname"], points, np.ones(len(points), bool), box
    )
