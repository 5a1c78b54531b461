"""`autolabel.py` from the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from tiny import NETWORKS, build, tiny_solov2, write_boxes

from autolabelling.processes import find_launcher

TOOL = Path(__file__).parents[2] / "tools" / "autolabel.py"
CLASSES = ("one", "two", "three")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("wörk 图") / "set", num_images=5)


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def trained(request, tmp_path_factory):
    """Config and checkpoint of a network whose classes are in the checkpoint alone."""
    init_default_scope("mmdet")
    folder = tmp_path_factory.mktemp("trained ß")
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs"),
    ]
    config = Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            model=request.param(),
            test_dataloader=dict(dataset=dict(type="CocoDataset", pipeline=pipeline)),
        )
    )
    config.dump(folder / "config.py")
    meta = dict(dataset_meta=dict(classes=CLASSES))
    state = build(request.param()).state_dict()
    save_checkpoint(dict(state_dict=state, meta=meta), str(folder / "epoch_1.pth"))
    return folder / "config.py", folder / "epoch_1.pth"


def test_a_checkpoint_labels_every_box(autolabel, root, trained, tmp_path):
    out = tmp_path / "new" / "masken ü.json"
    paths = (*trained, root / "boxes.json", root / "images", out)
    options = ("--device", "cpu", "--truth", root / "masks.json", "--report", tmp_path / "seite")
    output = autolabel(*paths, *options)
    assert "8 masks" in output
    assert "8 boxes: mean IoU" in output
    before, after = (json.loads(path.read_text()) for path in (root / "boxes.json", out))
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        assert {key: new[key] for key in old} == old
        assert new["segmentation"]["size"] == [96, 96]
        assert 0 <= new["mask_quality"] <= 1
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert "data:image/png" in (tmp_path / "seite" / "index.html").read_text()


def test_teacher_only_and_accepted_masks(autolabel, root, tmp_path):
    out, accepted = tmp_path / "out.json", tmp_path / "accepted.json"
    paths = ("--teacher-only", root / "boxes.json", root / "images")
    assert "box shapes and colours alone" in autolabel(*paths, out)
    accepted.write_text('{"accepted": [3, 5], "rejected": [1]}')
    output = autolabel("--accepted", accepted, out, tmp_path / "good.json")
    good = json.loads((tmp_path / "good.json").read_text())
    assert [(a["id"], a["mask_source"]) for a in good["annotations"]] == [
        (3, "person"), (5, "person")
    ]  # fmt: skip
    before = json.loads(out.read_text())
    boxed, kept = (
        {a["image_id"] for a in each["annotations"]} for each in (before, good)
    )  # images without any box stay: they are background
    empty = {image["id"] for image in before["images"]} - boxed
    assert empty
    assert kept < boxed
    assert {image["id"] for image in good["images"]} == kept | empty
    assert f"2 accepted masks: {tmp_path / 'good.json'}\n" in output
    assert f"{len(boxed - kept)} images without an accepted mask are left out." in output
    same = sum(a["image_id"] in kept for a in before["annotations"]) - 2
    assert same
    assert f"{same} boxes without an accepted mask in the other images count as backgr" in output
    accepted.write_text('{"accepted": [], "rejected": [1]}')
    with pytest.raises(ValueError, match="but nothing would be left"):
        autolabel("--accepted", accepted, out, tmp_path / "none.json")


def test_boxes_past_their_image_are_counted(autolabel, root, tmp_path):
    dataset = json.loads((root / "boxes.json").read_text())
    paths = (root / "images", tmp_path / "out.json")
    assert "reach past" not in autolabel("--teacher-only", root / "boxes.json", *paths)
    for annotation in dataset["annotations"][:2]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x + 30, y + 30, x + 30 + width, y + 30 + height]  # corners
    (tmp_path / "corners.json").write_text(json.dumps(dataset))
    output = autolabel("--teacher-only", tmp_path / "corners.json", *paths)
    assert "2 of 8 boxes reach past their image by more than a pixel" in output


def test_accepted_masks_stay_when_the_others_are_labelled_anew(autolabel, root, tmp_path):
    first, accepted = tmp_path / "first.json", tmp_path / "accepted.json"
    autolabel("--teacher-only", root / "boxes.json", root / "images", first)
    accepted.write_text('{"accepted": [3, 5], "rejected": [1]}')
    paths = ("--teacher-only", "--crop-size", 64, first, root / "images", tmp_path / "again.json")
    output = autolabel(*paths, "--accepted", accepted)
    assert "2 accepted masks are kept" in output
    before, after = (
        {a["id"]: a for a in json.loads((tmp_path / name).read_text())["annotations"]}
        for name in ("first.json", "again.json")
    )
    sources = {key: a["mask_source"] for key, a in after.items()}
    assert sources == {key: "person" if key in (3, 5) else "machine" for key in before}
    same = {key for key in before if before[key]["segmentation"] == after[key]["segmentation"]}
    assert {3, 5} <= same < set(before)


@pytest.mark.parametrize("option", ["--accepted", "--corrected"])
def test_masks_of_classes_that_are_not_labelled_stay_beside_a_persons(
    autolabel, root, tmp_path, option
):
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    autolabel("--teacher-only", root / "boxes.json", root / "images", first)
    decisions = tmp_path / "accepted.json"
    decisions.write_text('{"accepted": [1], "rejected": []}')
    file = decisions if option == "--accepted" else root / "masks.json"
    paths = ("--teacher-only", first, root / "images", again)
    autolabel(*paths, option, file, "--classes", "one")
    before, after = (json.loads(path.read_text())["annotations"] for path in (first, again))
    others = [
        (old, new)
        for old, new in zip(before, after, strict=True)
        if old["category_id"] > 1 and new.get("mask_source") != "person"
    ]
    assert others
    assert all(old == new for old, new in others)


def test_accepted_ids_of_boxes_without_masks_are_an_error(autolabel, root, tmp_path):
    accepted, out = tmp_path / "accepted.json", tmp_path / "good.json"
    accepted.write_text("[3, 5]")
    with pytest.raises(ValueError, match="2 of its 2 have none, first 3. Pass the labelled json"):
        autolabel("--accepted", accepted, root / "boxes.json", out)
    paths = ("--teacher-only", root / "boxes.json", root / "images", out)
    with pytest.raises(ValueError, match="2 of its 2 have none, first 3"):
        autolabel(*paths, "--accepted", accepted)
    assert not out.exists()


def test_masks_beyond_the_limit_of_the_page_are_kept(autolabel, root, tmp_path):
    out, accepted = tmp_path / "out.json", tmp_path / "accepted.json"
    paths = ("--teacher-only", root / "boxes.json", root / "images")
    output = autolabel(*paths, out, "--report", tmp_path / "page", "--report-limit", 5)
    assert "report: 5 masks; 3 of higher quality are left out (--report-limit): " in output
    annotations = json.loads(out.read_text())["annotations"]
    best = sorted(annotations, key=lambda a: a["mask_quality"])
    worst, rest = ([a["id"] for a in part] for part in (best[:5], best[5:]))
    page = (tmp_path / "page" / "index.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert [one for one, _ in data["leftOut"]] == [json.dumps(one) for one in rest]  # text
    accepted.write_text(json.dumps(dict(accepted=worst[:2], left_out=rest)))
    output = autolabel("--accepted", accepted, out, tmp_path / "good.json")
    assert "2 accepted masks and 3 that were not on the page" in output
    good = json.loads((tmp_path / "good.json").read_text())
    assert {a["id"] for a in good["annotations"]} == {*worst[:2], *rest}


def test_polygons(autolabel, root, tmp_path):
    paths = ("--teacher-only", root / "boxes.json", root / "images", tmp_path / "out.json")
    autolabel(*paths, "--polygons")
    annotations = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert all(isinstance(a["segmentation"][0][0], float) for a in annotations)


def test_yolo_folder(autolabel, root, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "1.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\n")
    autolabel("--teacher-only", labels, root / "images", tmp_path / "out.json")
    dataset = json.loads((tmp_path / "out.json").read_text())
    assert [a["bbox"] for a in dataset["annotations"]] == [[36, 24, 24, 48]] * 2
    assert all(a["segmentation"] for a in dataset["annotations"])


def test_changes_of_boxes_by_another_tool_are_reported(autolabel, root, tmp_path):
    fixed = json.loads((root / "masks.json").read_text())
    fixed["annotations"][0]["segmentation"] = []
    fixed["annotations"][0]["bbox"][2] += 5
    fixed["annotations"][1]["category_id"] = 3
    (tmp_path / "fixed.json").write_text(json.dumps(fixed))
    paths = (root / "boxes.json", tmp_path / "next.json")
    output = autolabel("--corrected", tmp_path / "fixed.json", *paths)
    assert "2 changes of" in output
    assert "7 masks of" in output
    assert "7 of the masks are of boxes that have none in" in output
    assert "- annotation 1 has the box [" in output
    assert "- annotation 2 is of 'three' instead of 'two'" in output
    assert "8 boxes, 7 with a mask of a person" in output


def test_a_mask_of_another_tool_that_cannot_be_used_is_listed(autolabel, root, tmp_path):
    fixed = json.loads((root / "masks.json").read_text())
    fixed["annotations"][0].update(id=99, segmentation=[[90, 90, 95, 90, 95, 95]])
    (tmp_path / "fixed.json").write_text(json.dumps(fixed))
    out = tmp_path / "next.json"
    output = autolabel("--corrected", tmp_path / "fixed.json", root / "boxes.json", out)
    assert "7 masks of" in output
    assert "1 masks of" in output
    assert "cannot be used and are not taken over" in output
    assert "- annotation 99 there, here annotation 1 (image " in output
    assert "not taken over, which" not in output  # no other change
    persons = [a["id"] for a in json.loads(out.read_text())["annotations"] if "mask_source" in a]
    assert persons == [2, 3, 4, 5, 6, 7, 8]


def test_masks_of_some_boxes_do_not_hide_that_others_have_none_to_compare_with(
    autolabel, root, tmp_path
):
    """As those of crowds, or the masks that were accepted in an earlier round."""
    masks = json.loads((root / "masks.json").read_text())
    boxes = json.loads((root / "boxes.json").read_text())
    boxes["annotations"][0] = dict(masks["annotations"][0], iscrowd=1)
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    paths = (tmp_path / "boxes.json", tmp_path / "next.json")
    output = autolabel("--corrected", root / "masks.json", *paths)
    assert "7 of the masks are of boxes that have none in" in output
    output = autolabel("--corrected", root / "masks.json", root / "masks.json", tmp_path / "x.json")
    assert "that have none" not in output


def test_masks_that_may_be_of_a_person_are_not_lost_in_silence(autolabel, root, tmp_path):
    labels = json.loads((root / "masks.json").read_text())
    labels["annotations"][0]["mask_source"] = "person"
    labels["annotations"][1]["mask_quality"] = 0.5  # a machine's
    boxes = tmp_path / "labels.json"
    boxes.write_text(json.dumps(labels))
    told = f"masks of '{boxes}' have no `mask_source` and are not kept. If a person"
    out = tmp_path / "next.json"
    assert f"6 {told}" in autolabel("--corrected", root / "masks.json", boxes, out)
    paths = (boxes, root / "images", tmp_path / "out.json")
    of_one = [a for a in labels["annotations"][2:] if a["category_id"] == 1]
    output = autolabel("--teacher-only", "--classes", "one", "--", *paths)
    assert f"{len(of_one)} {told}" in output
    assert "`mask_source`" not in autolabel("--corrected", root / "masks.json", out, tmp_path / "x")


def test_only_the_first_process_lists_corrections(autolabel, root, tmp_path, monkeypatch):
    options = ("--teacher-only", "--corrected", root / "masks.json")
    paths = (root / "boxes.json", root / "images", tmp_path / "out.json")
    assert "8 masks of" in autolabel(*options, *paths)
    (tmp_path / "out.json").unlink()
    monkeypatch.setattr("mmengine.dist.is_main_process", lambda: False)
    assert "masks of" not in autolabel(*options, *paths)


def test_rejected_masks_are_corrected_in_another_tool_and_come_back(autolabel, root, tmp_path):
    labels = tmp_path / "labels.json"
    autolabel("--teacher-only", root / "boxes.json", root / "images", labels)
    made = {a["id"]: a for a in json.loads(labels.read_text())["annotations"]}
    one, other, good, *_ = sorted(made, key=lambda key: made[key]["area"], reverse=True)
    decided = tmp_path / "accepted.json"
    decided.write_text(json.dumps(dict(accepted=[good], rejected=[one, other])))
    output = autolabel("--rejected", decided, labels, tmp_path / "todo.json")
    todo = json.loads((tmp_path / "todo.json").read_text())
    images = {made[one]["image_id"], made[other]["image_id"]}
    assert {image["id"] for image in todo["images"]} == images
    assert [a["id"] for a in todo["annotations"]] == [
        a["id"] for a in made.values() if a["image_id"] in images
    ]
    shown = len(todo["annotations"])
    assert f"2 rejected masks (`attributes.rejected`) of {shown} boxes in {len(images)}" in output
    assert f"--accepted {decided} --corrected EXPORT_JSON {labels} NEXT_JSON" in output
    for number, annotation in enumerate(todo["annotations"]):
        if annotation["id"] in (one, other):
            x, y, width, height = annotation["bbox"]
            end = x + 0.7 * width
            annotation["segmentation"] = [[x, y, end, y, end, y + height, x, y + height]]
        annotation["id"] = 900 + number  # as some tools do
    (tmp_path / "fixed.json").write_text(json.dumps(todo))
    output = autolabel("--corrected", tmp_path / "todo.json", labels, tmp_path / "same.json")
    assert f"is '{tmp_path / 'todo.json'}' from before the correction?" in output
    both = ("--accepted", decided, "--corrected", tmp_path / "fixed.json")
    output = autolabel(*both, labels, tmp_path / "next.json")
    assert "2 masks of" in output
    assert "not taken over" not in output  # other images are not missing
    following = json.loads((tmp_path / "next.json").read_text())["annotations"]
    assert len(following) == 8
    persons = {a["id"] for a in following if a.get("mask_source") == "person"}
    assert persons == {one, other, good}


def test_an_output_with_a_persons_masks_is_not_replaced(autolabel, root, tmp_path):
    following = tmp_path / "next.json"
    dataset = json.loads((root / "masks.json").read_text())
    for annotation in dataset["annotations"][2:]:
        del annotation["segmentation"]
    for annotation in dataset["annotations"][:2]:
        annotation["mask_source"] = "person"
    following.write_text(json.dumps(dataset))
    paths = ("--teacher-only", root / "boxes.json", root / "images", following)
    with pytest.raises(ValueError, match="has 2 that would be lost, first of annotation 1"):
        autolabel(*paths)
    assert json.loads(following.read_text()) == dataset
    out = tmp_path / "out.json"
    for _ in range(2):  # the same command again loses nothing
        assert "2 accepted masks are kept" in autolabel(paths[0], following, paths[2], out)


def test_boxes_of_other_classes_are_counted_where_they_become_background(autolabel, root, tmp_path):
    paths = ("--teacher-only", root / "boxes.json", root / "images", tmp_path / "out")
    output = autolabel(*paths, "--format", "voc-png", "--classes", "one")
    dataset = json.loads((root / "boxes.json").read_text())
    one = {a["image_id"] for a in dataset["annotations"] if a["category_id"] == 1}
    others = sum(a["image_id"] in one and a["category_id"] > 1 for a in dataset["annotations"])
    assert others > 1
    assert f"{others} boxes have no mask in images with masks, and count as background" in output


def test_boxes_without_a_mask_are_listed(autolabel, root, tmp_path):
    dataset = json.loads((root / "boxes.json").read_text())
    dataset["images"][1]["file_name"] = "gone.png"
    (tmp_path / "boxes.json").write_text(json.dumps(dataset))
    paths = ("--teacher-only", tmp_path / "boxes.json", root / "images", tmp_path / "out.json")
    output = autolabel(*paths, status=1)
    assert "6 masks" in output
    assert "2 boxes have no mask:" in output
    assert "- annotation 1: Expected an image at" in output
    annotations = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert ["segmentation" in a for a in annotations] == [False] * 2 + [True] * 6


def test_only_fixed_images_are_labelled_again(autolabel, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=5)
    paths = ("--teacher-only", root / "boxes.json", root / "images", tmp_path / "out.json")
    image = root / "images" / "2.png"
    image.rename(tmp_path / "away.png")
    output = autolabel(*paths, status=1)
    assert "1 images could not be read. Fix them and run the same command" in output
    output = autolabel(*paths[:3], tmp_path / "voc", "--format", "voc-png", status=1)
    assert f"Fix them, delete '{tmp_path / 'voc'}' and run the same command" in output
    journal = tmp_path / "out.json.unfinished" / "0.jsonl"
    (tmp_path / "away.png").rename(image)
    done = journal.read_text()
    journal.write_text(done.replace('"quality": 0', '"quality": 1'))
    assert "8 masks" in autolabel(*paths)
    qualities = [
        a["mask_quality"] for a in json.loads((tmp_path / "out.json").read_text())["annotations"]
    ]
    assert sum(quality > 1 for quality in qualities) == 8 - 2  # the others were not labelled again
    assert not journal.parent.exists()


def test_invalid_input_is_refused_and_nothing_is_written(autolabel, root, trained, tmp_path):
    config, checkpoint = trained
    boxes, images, out = root / "boxes.json", root / "images", tmp_path / "out.json"
    (tmp_path / "bad.json").write_text('{"images": 3}')
    other = json.loads(boxes.read_text())
    for category in other["categories"]:
        category["name"] += "!"
    (tmp_path / "other.json").write_text(json.dumps(other))
    cases = [
        ((config, tmp_path / "no.pth", boxes, images, out), "Expected a checkpoint at"),
        ((tmp_path / "no.py", checkpoint, boxes, images, out), "Expected a config"),
        ((config, checkpoint, tmp_path / "no.json", images, out), "Expected a COCO json at"),
        ((config, checkpoint, tmp_path / "bad.json", images, out), "`images`: is 3"),
        ((config, checkpoint, boxes, root / "no", out), "Expected a folder of images"),
        ((config, checkpoint, boxes, root, out), "none of the 4 exists.* is in .*pass this"),
        ((config, checkpoint, tmp_path / "other.json", images, out), "classes of the checkpoint"),
        ((config, checkpoint, boxes, images, boxes), "Expected another file than"),
        (("--accepted", boxes, tmp_path / "bad.json", boxes), "Expected another file than"),
        (("--corrected", boxes, tmp_path / "bad.json", boxes), "Expected another file than"),
        ((config, boxes, boxes, images, out), "to be a checkpoint"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    content = boxes.read_bytes()
    for paths, message in cases:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            autolabel(*paths, "--device", "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert boxes.read_bytes() == content
    with pytest.raises(SystemExit):
        autolabel(boxes, out)


def test_other_detectors_and_checkpoints_are_refused(autolabel, root, trained, tmp_path):
    config, checkpoint = trained
    stock = Config.fromfile(config)
    stock.model = tiny_solov2(box_supervised=False)
    stock.dump(tmp_path / "stock.py")
    rest = (root / "boxes.json", root / "images", tmp_path / "out.json", "--device", "cpu")
    save_checkpoint(
        dict(state_dict=build(stock.model).state_dict(), meta={}), str(tmp_path / "stock.pth")
    )
    with pytest.raises(ValueError, match="to be a DiscoBox detector but got SOLOv2"):
        autolabel(tmp_path / "stock.py", tmp_path / "stock.pth", *rest)
    other = Config.fromfile(config)
    head = "bbox_head" if "bbox_head" in other.model else "mask_head"
    other.model[head].num_classes = 4
    other.dump(tmp_path / "other.py")
    with pytest.raises(ValueError, match=r"to fit the config's DiscoBox.* have other shapes"):
        autolabel(tmp_path / "other.py", checkpoint, *rest)


@pytest.fixture
def start(tmp_path):
    """Starts the command in a process of its own, and returns it when it has labelled images."""
    started = []

    def run(*arguments):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        folder, deadline = Path(f"{arguments[-1]}.unfinished"), time.monotonic() + 120
        while not any(j.read_bytes().count(b"\n") > 5 for j in folder.glob("*.jsonl")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_command_resumes_without_loss_or_duplicates(autolabel, start, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=60, empty=0)
    options = ("--teacher-only", "--device", "cpu", root / "boxes.json", root / "images")
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    first = start(TOOL, *options, parts)
    first.send_signal(signal.SIGKILL)
    first.wait()
    journal = tmp_path / "parts.json.unfinished" / "0.jsonl"
    assert 5 <= journal.read_bytes().count(b"\n") - 1 < 60
    assert not parts.exists()
    autolabel(*options, parts)
    autolabel(*options, whole)
    assert json.loads(parts.read_text()) == json.loads(whole.read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.json", "set", "whole.json"]


@pytest.mark.slow
def test_a_second_command_does_not_disturb_the_first(autolabel, start, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=60, empty=0)
    out = tmp_path / "out.json"
    options = ("--teacher-only", "--device", "cpu", root / "boxes.json", root / "images")
    first = start(TOOL, *options, out)
    for others in ([], ["--crop-size", "64"]):
        with pytest.raises(ValueError, match=f"but process {first.pid} on .* still works on it"):
            autolabel(*options, out, *others)
    assert not out.exists()
    first.send_signal(signal.SIGSTOP)  # it cannot finish before this
    (tmp_path / "accepted.json").write_text("[1]")
    shutil.copy(root / "masks.json", tmp_path / "masks.json")
    with pytest.raises(ValueError, match="still works on it"):
        autolabel("--accepted", tmp_path / "accepted.json", tmp_path / "masks.json", out)
    first.send_signal(signal.SIGCONT)
    assert first.wait(120) == 0
    annotations = json.loads(out.read_text())["annotations"]
    assert len(annotations) == 120
    assert all(a["segmentation"] for a in annotations)
    assert not out.with_name("out.json.unfinished").exists()


@pytest.mark.slow
def test_workers_that_outlive_torchrun_keep_their_output(autolabel, start, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=100, empty=0)
    out = tmp_path / "out.json"
    options = ("--teacher-only", "--device", "cpu", root / "boxes.json", root / "images")
    launch = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0")
    launch += ("--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0")
    first = start(*launch, TOOL, *options, out)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with pytest.raises(ValueError, match="still works on it"):
        autolabel(*options, out)
    deadline = time.monotonic() + 120
    while (out.with_name("out.json.unfinished") / "owner.lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    autolabel(*options, out)
    annotations = json.loads(out.read_text())["annotations"]
    assert len(annotations) == 200
    assert all(a["segmentation"] for a in annotations)


def test_processes_of_a_launcher_are_noticed():
    torchrun = dict(WORLD_SIZE="2", RANK="1", LOCAL_RANK="1", MASTER_ADDR="localhost")
    assert find_launcher(None, {}) == "none"
    assert find_launcher(None, torchrun) == "pytorch"
    assert find_launcher("none", torchrun) == "none"
    assert find_launcher(None, dict(torchrun, WORLD_SIZE="1")) == "none"
    assert find_launcher(None, dict(SLURM_NTASKS="4", SLURM_PROCID="0")) == "none"  # a batch script
    for name, launcher in [
        ("SLURM_STEP_NUM_TASKS", "slurm"), ("OMPI_COMM_WORLD_SIZE", "mpi"), ("PMI_SIZE", "mpi"),
        ("WORLD_SIZE", "pytorch"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"Expected --launcher {launcher}, because {name}=4"):
            find_launcher(None, {name: "4"})


def test_the_page_is_tried_before_the_masks_and_can_be_drawn_later(autolabel, root, tmp_path):
    out, file, taken = (tmp_path / name for name in ("out.json", "file", "taken"))
    options = ("--teacher-only", root / "boxes.json", root / "images", out)
    file.touch()
    (taken / "index.html").mkdir(parents=True)
    for folder, message in ((file, "'.*file' is not: File exists"), (taken, "is a folder")):
        with pytest.raises(ValueError, match=message):
            autolabel(*options, "--report", folder)
    assert not out.exists()
    autolabel(*options, "--report", tmp_path / "first")
    output = autolabel("--report", tmp_path / "second", out, root / "images")
    assert f"report: 8 masks: {tmp_path / 'second' / 'index.html'}\n" in output
    first, second = ((tmp_path / n / "index.html").read_bytes() for n in ("first", "second"))
    assert first == second
    images = tmp_path / "images"
    shutil.copytree(root / "images", images)
    (images / "1.png").write_bytes(b"<html>404</html>")
    output = autolabel("--report", tmp_path / "third", out, images, status=1)
    assert "report: 6 masks: " in output
    assert "1 images cannot be read and are not on the page:" in output
    assert "- 2 masks: Expected an image at" in output
    page = (tmp_path / "third" / "index.html").read_text()
    assert '"file": "2.png"' in page
    assert '"file": "1.png"' not in page
    with pytest.raises(ValueError, match="which have a `mask_quality`, in '.*' but got none"):
        autolabel("--report", tmp_path / "third", root / "boxes.json", root / "images")


def test_an_empty_page_tells_why(autolabel, root, tmp_path):
    images, page = tmp_path / "images", tmp_path / "page"
    shutil.copytree(root / "images", images)
    out = tmp_path / "out.json"
    autolabel("--teacher-only", root / "boxes.json", images, out)
    for path in images.iterdir():
        path.write_bytes(b"")
    output = autolabel("--report", page, out, images, status=1)
    message = "there are no masks to review: no image of theirs can be read"
    assert f"report: the page is empty, {message}: {page / 'index.html'}\n" in output
    dataset = json.loads(out.read_text())
    for annotation in dataset["annotations"]:
        annotation["mask_source"] = "person"
    out.write_text(json.dumps(dataset))
    output = autolabel("--report", page, out, images)
    reason = "8 masks are a person's already, and no others have a `mask_quality`"
    assert f"there are no masks to review: {reason}: " in output
    assert f'"empty": "{reason}"' in (page / "index.html").read_text()
