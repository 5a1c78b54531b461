"""`autolabel.py` with the shipped labeller: without a config, with `--fit`, for some classes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from tiny import write_boxes

TOOL = Path(__file__).parents[2] / "tools" / "autolabel.py"
CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("boxes"), num_images=5)


@pytest.fixture
def paths(root, tmp_path):
    return root / "boxes.json", root / "images", tmp_path / "out.json"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(TOOL), *map(str, arguments), *CPU],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*arguments, status=0):
    process = start(*arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output
    return output


def annotations(path):
    return json.loads(path.read_text())["annotations"]


def test_three_paths_are_enough(root, paths):
    output = finish(*paths, "--truth", root / "masks.json")
    assert f"8 masks: {paths[-1]}" in output
    # the rectangles of this set fill their boxes: only their masks' number and place can be asked
    assert "8 boxes: mean IoU" in output
    assert all(0 < a["area"] <= a["bbox"][2] * a["bbox"][3] for a in annotations(paths[-1]))


def test_the_other_classes_stay_as_they_are(root, paths):
    dataset = json.loads(paths[0].read_text())
    mine = dataset["annotations"][1]  # of class two
    mine.update(segmentation=[[1, 1, 9, 1, 9, 9]], area=32.0, iscrowd=0)
    boxes = paths[-1].with_name("boxes.json")
    boxes.write_text(json.dumps(dataset))
    output = finish(boxes, *paths[1:], "--classes", "one", "three")
    after = annotations(paths[-1])
    labelled = [a for a in after if "mask_quality" in a]
    assert {a["category_id"] for a in labelled} == {1, 3}
    assert f"{len(labelled)} masks" in output
    assert after[1] == mine
    wrong = finish(boxes, *paths[1:], "--classes", "four", status=1)
    assert "Expected --classes of the boxes but got four. Theirs are one, two, three." in wrong


def test_a_killed_fit_goes_on_and_is_not_repeated(root, paths, autolabel):
    folder = paths[-1].with_name("out.json.labeler")
    options = (*paths, "--fit", "--epochs", 10)
    process = start(*options)
    deadline = time.monotonic() + 240
    while not (folder / "last_checkpoint").is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not paths[-1].exists()
    (folder / "last_checkpoint").write_text("")  # as a kill in this moment leaves it
    output = finish(*options)
    assert "8 masks" in output
    assert "mmengine" not in output.replace("site-packages/mmengine", "")
    assert "index created" not in output
    log = (folder / "training.log").read_text()
    assert "resumes from the newest whole one" in log
    assert "Advance dataloader" in log  # mmengine: past the samples of the killed run
    weights = folder / "box_labeler.pth"
    written = weights.stat().st_mtime_ns
    assert not any(folder.glob("iter_*.pth"))
    first = annotations(paths[-1])
    (folder / "iter_1.pth").touch()  # as a kill leaves it while checkpoints are removed
    finish(*options)
    assert weights.stat().st_mtime_ns == written
    assert not any(folder.glob("iter_*.pth"))
    assert annotations(paths[-1]) == first
    # the labeller is one for other images, too
    again = paths[-1].with_name("again.json")
    finish(folder / "box_labeler_lite0.py", weights, *paths[:2], again)
    assert annotations(again) == first
    for changed, found in (
        (("--epochs", 3), "epochs 3 and seed 0, but its training has epochs 10. Name"),
        (("--epochs", 10, "--seed", 1), "epochs 10 and seed 1, but its training has seed 0. Name"),
    ):
        with pytest.raises(ValueError, match=found):
            autolabel(*paths, "--fit", *changed)
    assert weights.stat().st_mtime_ns == written
    assert annotations(paths[-1]) == first


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_fit_leaves_out_and_names_what_cannot_be_read(tmp_path, autolabel, content):
    root = write_boxes(tmp_path / "set", num_images=5)
    image = root / "images" / "2.png"
    image.write_bytes(content)
    paths = (root / "boxes.json", root / "images", tmp_path / "out.json")
    output = finish(*paths, "--fit", "--epochs", 1, status=1)
    assert "1 images are left out of the training:" in output
    assert output.count(f"Expected an image at '{image}', but OpenCV cannot read it.") == 3
    assert "2 boxes have no mask" in output
    assert "6 masks" in output
    for path in (root / "images").iterdir():
        path.write_bytes(content)
    with pytest.raises(ValueError, match="None of the images can be read: Expected an image at"):
        autolabel(*paths[:2], tmp_path / "none.json", "--fit")


def test_a_fit_needs_a_single_object(root, tmp_path):
    content = json.loads((root / "boxes.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    (tmp_path / "crowds.json").write_text(json.dumps(content))
    paths = (tmp_path / "crowds.json", root / "images", tmp_path / "out.json")
    output = finish(*paths, "--fit", status=1)
    count = len(content["annotations"])
    assert f"of the {count} boxes in readable images, {count} have `iscrowd` set" in output
    assert "Traceback" not in output
    assert "allow_no_boxes" not in output


def test_the_loop_from_boxes_to_accepted_masks_to_new_labels(root, paths, tmp_path):
    """Label, accept two masks, train on boxes and these, label the others anew; twice."""
    boxes, images, out = paths
    finish(*paths, "--report", tmp_path / "page")
    made = {a["id"]: a for a in annotations(out)}
    assert {a["mask_source"] for a in made.values()} == {"machine"}
    accepted = tmp_path / "accepted.json"
    accepted.write_text('{"accepted": [2, 5], "rejected": [1]}')
    following = tmp_path / "next.json"
    output = finish("--accepted", accepted, out, following, "--keep-boxes")
    assert f"8 boxes, 2 with a mask of a person: {following}" in output
    kept = {a["id"]: a for a in annotations(following)}
    assert [a["bbox"] for a in kept.values()] == [a["bbox"] for a in annotations(boxes)]
    assert {key for key, a in kept.items() if a.get("segmentation")} == {2, 5}
    assert all(kept[key]["mask_source"] == "person" for key in (2, 5))
    assert "mask_quality" not in kept[1]
    second = tmp_path / "second.json"
    page = tmp_path / "second page"
    output = finish("--fit", following, images, second, "--epochs", 1, "--report", page)
    assert "2 accepted masks are kept." in output
    assert "6 masks" in output
    labelled = {a["id"]: a for a in annotations(second)}
    for key in (2, 5):  # never overwritten
        assert labelled[key]["segmentation"] == made[key]["segmentation"]
        assert labelled[key]["mask_source"] == "person"
    assert all(labelled[key]["mask_source"] == "machine" for key in labelled if key not in (2, 5))
    assert '"earlier": 2' in (page / "index.html").read_text()
    config = (second.with_name("second.json.labeler") / "box_labeler_lite0.py").read_text()
    assert "true_masks=True" in config
    assert "mask_repeats=2" in config  # a quarter of the objects has a mask
    assert "LoadTrueMasks" in config
    accepted.write_text('{"accepted": [1]}')
    finish("--accepted", accepted, second, following, "--keep-boxes")
    third = [a["id"] for a in annotations(following) if a.get("segmentation")]
    assert third == [1, 2, 5]


def test_a_fit_reads_images_as_labelling_and_names_unusable_accepted_masks(tmp_path):
    """One image is turned by EXIF, its boxes are not; one accepted mask is outside its box."""
    root = write_boxes(tmp_path / "set", num_images=5)
    dataset = json.loads((root / "boxes.json").read_text())
    turned, first = dataset["images"][1], dataset["annotations"][0]
    pixels = Image.open(root / "images" / turned["file_name"]).crop((0, 0, 96, 90))
    turned.update(file_name="turned.jpg", height=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels.save(root / "images" / "turned.jpg", exif=exif)
    first.update(segmentation=[[80, 80, 88, 80, 88, 88]], mask_source="person")
    (root / "boxes.json").write_text(json.dumps(dataset))
    out = tmp_path / "out.json"
    output = finish(root / "boxes.json", root / "images", out, "--fit", "--epochs", 1)
    assert "images are left out" not in output
    assert "1 accepted masks are left out of the training:" in output
    assert "- annotation 1 (image 1, 'turned.jpg'): the mask lies outside its box" in output
    config = (out.with_name("out.json.labeler") / "box_labeler_lite0.py").read_text()
    assert "LoadImageAsLabelled" in config
