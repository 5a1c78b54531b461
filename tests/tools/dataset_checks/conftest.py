"""Fixture of the tests of `check_dataset`: an image on disk, and the check of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checked_data import HEIGHT, PLAIN, WIDTH
from PIL import Image

from dataset_checks import check_dataset


@pytest.fixture
def check(tmp_path):
    folder = tmp_path / "bilder é"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "Straße 图.png")

    def run(content, **changes):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content, ensure_ascii=False))
        return check_dataset(path, folder, settings=changes.pop("settings", PLAIN), **changes)

    run.folder = folder
    return run
