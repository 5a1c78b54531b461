"""Fixtures of the benchmarks' tests: the data scripts, and an image of a disc with its mask."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
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


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    image = np.full((160, 200, 3), (60, 140, 70), np.uint8)
    cv2.circle(image, (90, 80), 40, (50, 60, 200), -1)
    image = (image + rng.normal(0, 5, image.shape)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "disc.png"), image)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([90.5 + 40 * np.cos(angles), 80.5 + 40 * np.sin(angles)], 1)
    base = dict(image_id=1, category_id=1, area=5026.0, iscrowd=0)
    annotations = [
        dict(base, id=1, bbox=[50, 40, 81, 81], segmentation=[outline.ravel().tolist()]),
        dict(base, id=2, bbox=[5, 5, 6, 6], segmentation=[[5, 5, 11, 5, 11, 11, 5, 11]]),
        dict(base, id=3, iscrowd=1, bbox=[0, 0, 60, 60],
             segmentation=dict(size=[160, 200], counts=[0, 32000])),
    ]  # fmt: skip
    images = [dict(id=1, file_name="disc.png", height=160, width=200)]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="disc")])
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    return path
