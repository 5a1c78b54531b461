"""Small folders made from a tiny COCO: rules by hand-checked numbers, and errors."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import cv2
import fake_coco
import numpy as np
import pytest
from pycocotools import mask as coco_mask

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "data"


@pytest.fixture
def coco(tmp_path):
    fake_coco.write_tiny_coco(tmp_path / "coco")
    return tmp_path / "coco"


@pytest.fixture
def build(data_scripts, monkeypatch, tmp_path, coco):
    """The command on the tiny folder; returns the folder that it writes into."""
    (tmp_path / "ids.json").write_text(json.dumps(fake_coco.IDS))
    monkeypatch.setattr(data_scripts["build"], "IDS", tmp_path / "ids.json")

    def command(*options):
        out = tmp_path / "out"
        data_scripts["build"].main(["--coco", str(coco), "--out", str(out), *options])
        return out

    return command


def read(path):
    return json.loads(path.read_text())


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def edit(path, change):
    """Change the content of a json in place."""
    content = read(path)
    change(content)
    path.write_text(json.dumps(content))


def test_files(build, capsys):
    out = build()
    assert names(out / "persons") == [
        "images/000000000007.jpg", "images/000000000008.jpg", "images/000000000009.jpg",
        "train_boxes.json", "train_masks.json", "val.json",
    ]  # fmt: skip
    assert names(out / "coco_mini") == [
        "boxes.json", "images/000000000005.jpg", "images/000000000006.jpg", "instances.json",
    ]  # fmt: skip
    assert names(out / "animals") == ["val_masks.json"]
    assert sorted(path.name for path in out.iterdir()) == ["animals", "coco_mini", "persons"]
    assert "persons: 3 images" in capsys.readouterr().err


def test_persons_are_scaled_and_keep_the_listed_order(build):
    content = read(build("--folders", "persons") / "persons" / "train_masks.json")
    # 640 x 427 becomes 512 x 342 (427 * 0.8 = 341.6): x times 0.8, y times 342 / 427.
    polygon = [80.01, 171.0, 336.01, 342.0, 80.01, 342.0]  # y = 213.5 is half of 427
    # The area of 34160 is an eighth of the image before and after.
    assert content == {
        "images": [
            {"id": 8, "file_name": "000000000008.jpg", "height": 200, "width": 300, "license": 4},
            {"id": 7, "file_name": "000000000007.jpg", "height": 342, "width": 512, "license": 4},
        ],
        "annotations": [
            {"id": 70, "image_id": 7, "category_id": 1, "bbox": [80.01, 171.0, 256.0, 171.0],
             "iscrowd": 0, "segmentation": [polygon], "area": 21888.0},  # 512 * 342 / 8
            {"id": 80, "image_id": 8, "category_id": 1, "bbox": [1.5, 2.25, 10.0, 10.0],
             "iscrowd": 0, "segmentation": [[1.5, 2.25, 11.5, 2.25, 11.5, 12.25]], "area": 1234.57},
        ],
        "categories": fake_coco.CATEGORIES[:1],
    }  # fmt: skip


def test_boxes_have_no_masks(build):
    out = build()
    for boxes, masks in (("persons/train_boxes", "train_masks"), ("coco_mini/boxes", "instances")):
        content = read(out / f"{boxes}.json")
        expected = read((out / boxes).with_name(f"{masks}.json"))
        for record in expected["annotations"]:
            del record["segmentation"], record["area"]
        assert content == expected
        assert list(content) == ["images", "categories", "annotations"]


def test_images_have_the_sizes_of_the_jsons(build):
    out = build()
    for path, count in (("persons/train_masks", 2), ("persons/val", 1), ("coco_mini/boxes", 2)):
        images = read(out / f"{path}.json")["images"]
        assert len(images) == count
        for image in images:
            pixels = cv2.imread(str((out / path).parent / "images" / image["file_name"]))
            assert pixels.shape[:2] == (image["height"], image["width"])


def test_coco_mini_has_new_ids_in_the_order_of_the_json(build):
    content = read(build() / "coco_mini" / "instances.json")
    assert [image["id"] for image in content["images"]] == [5, 6]
    kept = [(a["id"], a["image_id"], a["category_id"]) for a in content["annotations"]]
    assert kept == [(16, 5, 18), (17, 5, 1), (18, 5, 20)]
    crowd = content["annotations"][2]
    assert crowd["area"] == 33.0
    assert crowd["iscrowd"] == 1
    assert list(crowd["segmentation"]) == ["size", "counts"]
    mask = coco_mask.decode(crowd["segmentation"])
    assert mask.sum() == 30
    assert mask[:, 2].all()
    assert content["categories"] == fake_coco.CATEGORIES


def test_animals_have_five_classes_and_no_crowds(build):
    content = read(build() / "animals" / "val_masks.json")
    assert [image["id"] for image in content["images"]] == [5]
    assert [(a["id"], a["category_id"]) for a in content["annotations"]] == [(16, 1)]
    categories = [(category["id"], category["name"]) for category in content["categories"]]
    assert categories == [(1, "dog"), (2, "cat"), (3, "sheep"), (4, "horse"), (5, "cow")]


def test_missing_files(build, coco):
    (coco / "train2017" / "000000000005.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000000000005\.jpg'.*Download COCO 2017"):
        build()
    (coco / "annotations" / "instances_train2017.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"instances_train2017\.json'"):
        build()
    assert names(build("--folders", "persons"))  # which needs val2017 alone


def test_missing_ids_are_named(build, coco):
    path = coco / "annotations" / "instances_val2017.json"
    edit(path, lambda content: content["annotations"].pop(2))
    with pytest.raises(ValueError, match=r"instances_val2017\.json' to have the annotations 70,"):
        build()
    edit(path, lambda content: content.update(images=content["images"][:2]))
    with pytest.raises(ValueError, match=r"instances_val2017\.json' to have the images 8, 9,"):
        build()


def test_many_ids_are_counted(data_scripts):
    assert data_scripts["coco_files"].name_ids(range(23), limit=2) == "0, 1 and 21 more"


def test_another_number_of_annotations(build, coco):
    path = coco / "annotations" / "instances_train2017.json"
    edit(path, lambda content: content["annotations"].pop(0))
    with pytest.raises(ValueError, match="another number for the images 5"):
        build()


def test_damaged_jsons(build, coco):
    path = coco / "annotations" / "instances_val2017.json"
    edit(path, lambda content: content.pop("categories"))
    with pytest.raises(ValueError, match="but got no categories"):
        build()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="to be a complete json"):
        build()


@pytest.mark.parametrize("damage", ["resized", "cut", "empty"])
def test_damaged_images_leave_no_folder(build, coco, tmp_path, damage):
    path = coco / "val2017" / "000000000009.jpg"
    if damage == "resized":
        cv2.imwrite(str(path), np.zeros((300, 150, 3), np.uint8))
    else:
        path.write_bytes(path.read_bytes()[: 20 if damage == "cut" else 0])
    expected = r"\(600, 300\) but got \(300, 150\)" if damage == "resized" else "damaged file"
    with pytest.raises(ValueError, match=expected):
        build()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_no_folder(data_scripts, build, monkeypatch, tmp_path):
    def write(path, content):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data_scripts["build"], "write_json", write)
    with pytest.raises(OSError, match="No space left"):
        build()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("existing", ["animals", "coco_mini.part"])
def test_existing_folders_are_kept(build, tmp_path, existing):
    folder = tmp_path / "out" / existing
    folder.mkdir(parents=True)
    with pytest.raises(FileExistsError, match=f"Expected no '.*{existing}', but it exists"):
        build()
    assert list((tmp_path / "out").iterdir()) == [folder]


def test_exit_status(data_scripts, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        data_scripts["build"].main(["--help"])
    assert "instances_{train,val}2017.json" in capsys.readouterr().out
    command = [sys.executable, str(SCRIPTS / "build.py"), "--coco", str(tmp_path / "nowhere")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Expected '")


def test_ids_are_unique_and_complete():
    ids = read(SCRIPTS / "ids.json")
    persons, mini = ids["persons"], ids["coco_mini"]
    for key in ("images", "annotations"):
        assert (len(persons["train"][key]), len(persons["val"][key])) == (740, 120)
        assert len({*persons["train"][key], *persons["val"][key]}) == 860
    assert len(set(mini["images"])) == 166
    assert sum(mini["annotation_counts"]) == 1374
    ends = np.add(mini["first_annotation_ids"], mini["annotation_counts"])
    assert (ends[:-1] <= mini["first_annotation_ids"][1:]).all()
    assert len(ids["animals"]["val_masks"]) == 36
    assert set(ids["animals"]["val_masks"]) < set(mini["images"])
