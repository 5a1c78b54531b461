"""`autolabel.py --fit`: killed, with unreadable images, without objects, with unusable masks."""

from __future__ import annotations

import json
import signal
import time

import pytest
from autolabel_runs import annotations, finish, start
from PIL import Image
from tiny import write_boxes


@pytest.fixture
def paths(tmp_path):
    root = write_boxes(tmp_path / "set", num_images=5)
    return root / "boxes.json", root / "images", tmp_path / "out.json"


def test_a_killed_fit_goes_on_and_is_not_repeated(paths, autolabel):
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
def test_a_fit_leaves_out_and_names_what_cannot_be_read(paths, autolabel, content):
    image = paths[1] / "2.png"
    image.write_bytes(content)
    output = finish(*paths, "--fit", "--epochs", 1, status=1)
    assert "1 images are left out of the training:" in output
    assert output.count(f"Expected an image at '{image}', but OpenCV cannot read it.") == 3
    assert "2 boxes have no mask" in output
    assert "6 masks" in output
    for path in paths[1].iterdir():
        path.write_bytes(content)
    with pytest.raises(ValueError, match="None of the images can be read: Expected an image at"):
        autolabel(*paths[:2], paths[-1].with_name("none.json"), "--fit")


def test_a_fit_needs_a_single_object(paths):
    content = json.loads(paths[0].read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    paths[0].write_text(json.dumps(content))
    output = finish(*paths, "--fit", status=1)
    count = len(content["annotations"])
    assert f"of the {count} boxes in readable images, {count} have `iscrowd` set" in output
    assert "Traceback" not in output
    assert "allow_no_boxes" not in output


def test_a_fit_reads_images_as_labelling_and_names_unusable_accepted_masks(paths):
    """One image is turned by EXIF, its boxes are not; one accepted mask is outside its box."""
    boxes, images, out = paths
    dataset = json.loads(boxes.read_text())
    turned, first = dataset["images"][1], dataset["annotations"][0]
    pixels = Image.open(images / turned["file_name"]).crop((0, 0, 96, 90))
    turned.update(file_name="turned.jpg", height=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels.save(images / "turned.jpg", exif=exif)
    first.update(segmentation=[[80, 80, 88, 80, 88, 88]], mask_source="person")
    boxes.write_text(json.dumps(dataset))
    output = finish(*paths, "--fit", "--epochs", 1)
    assert "images are left out" not in output
    assert "1 accepted masks are left out of the training:" in output
    assert "- annotation 1 (image 1, 'turned.jpg'): the mask lies outside its box" in output
    config = (out.with_name("out.json.labeler") / "box_labeler_lite0.py").read_text()
    assert "LoadImageAsLabelled" in config
