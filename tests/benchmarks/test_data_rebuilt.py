"""Small folders made from COCO against the existing ones, as far as possible without COCO."""

from __future__ import annotations

import json

import fake_coco
import numpy as np
import pytest
from PIL import Image

JSONS = {
    "persons": ["train_boxes.json", "train_masks.json", "val.json"],
    "coco_mini": ["boxes.json", "instances.json"],
    "animals": ["val_masks.json"],
}


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def rebuilt(data_scripts, discobox_data, tmp_path_factory):
    """Contents made from a COCO folder that was computed back from the built folders."""
    coco = tmp_path_factory.mktemp("inverted")
    persons = [read(discobox_data / "persons" / name) for name in ("train_masks.json", "val.json")]
    fake_coco.write_inverted_persons(coco, persons)
    mini = read(discobox_data / "coco_mini" / "instances.json")
    fake_coco.write_inverted_coco_mini(coco, mini)
    console = data_scripts["build"].Console(quiet=True)
    return data_scripts["build"].make_subsets(coco, list(JSONS), console=console)


@pytest.mark.parametrize("folder", JSONS)
def test_jsons_equal_the_existing_ones(rebuilt, discobox_data, folder):
    assert list(rebuilt[folder].jsons) == JSONS[folder]
    for name, content in rebuilt[folder].jsons.items():
        # Characters, not objects: the order of keys and the notation of numbers count, too.
        same = json.dumps(content) == (discobox_data / folder / name).read_text()
        assert same, f"{folder}/{name} differs"


@pytest.mark.parametrize("folder", ["persons", "coco_mini"])
def test_image_names_equal_the_existing_ones(rebuilt, discobox_data, folder):
    subset = rebuilt[folder]
    expected = sorted(subset.split.images[image_id]["file_name"] for image_id in subset.sizes)
    existing = (discobox_data / folder / "images").iterdir()
    assert sorted(path.name for path in existing) == expected


def sharpness(path):
    """Squared second difference along x at columns 0 to 3 modulo 4, relative to their mean.

    Shrinking by 0.8 blurs with a period of four columns, in a pattern of the interpolation.
    """
    grey = np.asarray(Image.open(path).convert("L"), float)
    squared = np.diff(grey, n=2, axis=1) ** 2
    phases = np.array([squared[:, (column - 1) % 4 :: 4].mean() for column in range(4)])
    return phases / phases.mean()


def test_images_are_shrunk_and_encoded_as_the_existing_ones(data_scripts, discobox_data, tmp_path):
    """The official images are not at hand: other images of 640 px take their place."""
    shrink, write_image = data_scripts["records"].shrink, data_scripts["coco_files"].write_image
    existing = []
    for image in read(discobox_data / "persons" / "train_boxes.json")["images"]:
        if image["width"] == 512 and image["height"] in (341, 342, 384):
            existing.append(discobox_data / "persons" / "images" / image["file_name"])
    written = []
    for image in read(discobox_data / "coco_mini" / "boxes.json")["images"]:
        size = image["height"], image["width"]
        if size[1] == 640 and 426 <= size[0] <= 480:
            source = discobox_data / "coco_mini" / "images" / image["file_name"]
            written.append(tmp_path / image["file_name"])
            write_image(source, written[-1], source_size=size, size=shrink(size))
    for attribute in ("quantization", "layer"):  # JPEG quality and chroma subsampling
        found = {str(getattr(Image.open(path), attribute)) for path in (*existing[:9], *written)}
        assert len(found) == 1
    # Area interpolation measures 1.18, 0.82; bilinear 1.14, 0.86; Lanczos 1.01, 0.99.
    patterns = [np.median([sharpness(path) for path in paths], axis=0)
                for paths in (existing[:150], written)]  # fmt: skip
    np.testing.assert_allclose(*patterns, atol=0.02)
