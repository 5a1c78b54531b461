from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from tiny import write_boxes

from mmdet_discobox.apis import AutoLabeler, LabelRun
from mmdet_discobox.labelling.boxed_image import ImageTask
from mmdet_discobox.structures import BoxObjects

HERE = Path(__file__).parent


class Killed(Exception):
    pass


class Labeler(AutoLabeler):
    """A labeler of colours alone that records its images and can be killed."""

    def __init__(self, kill_at=None):
        super().__init__(crop_size=32)
        self.seen = []
        self.kill_at = kill_at

    def __call__(self, images):
        self.seen += [image.image_id for image in images]
        if self.kill_at is not None and len(self.seen) >= self.kill_at:
            raise Killed
        return super().__call__(images)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("run") / "söt", num_images=6)


@pytest.fixture
def make_run(root, tmp_path):
    def make(dataset=None, **settings):
        dataset = dataset or json.loads((root / "boxes.json").read_text())
        return LabelRun(dataset, root / "images", tmp_path / "unfinished", settings)

    return make


def ids_of(records):
    return sorted(mask["id"] for record in records.values() for mask in record["masks"])


def test_all_boxes_are_labelled_and_the_empty_image_is_not_read(make_run):
    labeler, steps = Labeler(), []
    records = make_run().label(labeler, on_image=lambda *step: steps.append(step))
    assert ids_of(records) == list(range(1, 11))
    assert labeler.seen == [1, 2, 3, 4, 5]
    assert steps == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("kill_at", [1, 3, 5])
@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_run_goes_on(make_run, kill_at, torn):
    whole = make_run().label(Labeler())
    make_run().remove_journals()
    with pytest.raises(Killed):
        make_run().label(Labeler(kill_at), batch_size=1)
    journal = make_run().journal_dir / "0.jsonl"
    if torn:  # the kill came in the middle of a line
        content = journal.read_bytes()
        journal.write_bytes(content + content[-40:-7])
    labeler = Labeler()
    assert make_run().label(labeler, batch_size=2) == whole
    assert labeler.seen == list(range(kill_at, 6))
    assert make_run().label(Labeler(kill_at=1)) == whole  # nothing is left to do
    make_run().remove_journals()
    assert not journal.parent.exists()


def test_journals_of_any_number_of_processes_are_read(make_run):
    whole = make_run().label(Labeler())
    journal = make_run().journal_dir / "0.jsonl"
    header, *lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(header + "".join(lines[:2]))
    journal.with_name("3.jsonl").write_text(header + lines[4] + lines[1])
    labeler = Labeler()
    assert make_run().label(labeler) == whole
    assert labeler.seen == [3, 4]


@pytest.mark.parametrize(("rank", "share"), [(0, [1, 3, 5]), (1, [2, 4])])
def test_each_process_has_its_share(make_run, monkeypatch, rank, share):
    monkeypatch.setattr("mmdet_discobox.labelling.label_run.get_rank", lambda: rank)
    monkeypatch.setattr("mmdet_discobox.labelling.label_run.get_world_size", lambda: 2)
    labeler = Labeler()
    if rank:  # the first process tells the others that nothing is done
        monkeypatch.setattr(
            "mmdet_discobox.labelling.label_run.broadcast_object_list",
            lambda told: told.__setitem__(0, []),
        )
        assert make_run().label(labeler) == {}
    else:  # it does not give out half of the masks, here of a process that never was
        with pytest.raises(ValueError, match="all 5 images .* those of 2 images are missing"):
            make_run().label(labeler)
    assert labeler.seen == share


def test_records_without_all_boxes_of_an_image_are_refused(make_run):
    make_run().label(Labeler())
    journal = make_run().journal_dir / "0.jsonl"
    header, first, *rest = journal.read_text().splitlines(keepends=True)
    key, record = json.loads(first)
    record["masks"].pop()
    journal.write_text("".join([header, json.dumps([key, record]) + "\n", *rest]))
    with pytest.raises(ValueError, match=f"those of 1 images are missing, first image {key}"):
        make_run().label(Labeler())


def test_a_journal_of_another_run_is_refused_and_stays(make_run, root):
    make_run(crop_size=32).label(Labeler())
    before = (make_run().journal_dir / "0.jsonl").read_bytes()
    with pytest.raises(ValueError, match="of the same boxes, checkpoint and settings"):
        make_run(crop_size=64).label(Labeler())
    dataset = json.loads((root / "boxes.json").read_text())
    dataset["annotations"][0]["bbox"][0] += 1
    with pytest.raises(ValueError, match="of the same boxes"):
        make_run(dataset, crop_size=32).label(Labeler())
    assert (make_run().journal_dir / "0.jsonl").read_bytes() == before


def test_what_cannot_be_done_is_named_and_costs_the_others_nothing(make_run, root):
    dataset = json.loads((root / "boxes.json").read_text())
    dataset["images"][1]["file_name"] = "gone.png"
    dataset["images"][2]["width"] = 50
    dataset["annotations"][4]["bbox"] = [200, 10, 5, 5]
    dataset["annotations"][5]["bbox"] = [10, 10, 0, 5]
    dataset["annotations"][6].update(iscrowd=1, segmentation=dict(size=[96, 96], counts="x"))
    records = make_run(dataset).label(Labeler())
    assert ids_of(records) == [8, 9, 10]
    reasons = {f["id"]: f["reason"] for r in records.values() for f in r["failed"]}
    assert sorted(reasons) == [1, 2, 3, 4, 5, 6]
    assert "Expected an image at" in reasons[1]
    assert "to have 50 x 96 pixels, as its boxes require, but got 96 x 96" in reasons[3]
    assert reasons[5] == "its box [200, 10, 5, 5] has no area inside the image"
    assert "no area" in reasons[6]


def test_an_image_that_could_not_be_read_is_tried_again(make_run, root):
    image = root / "images" / "2.png"
    away = image.with_suffix(".away")
    whole = make_run().label(Labeler())
    make_run().remove_journals()
    image.rename(away)
    try:
        failed = make_run().label(Labeler())
    finally:
        away.rename(image)
    assert failed["2"] == dict(masks=[], failed=failed["2"]["failed"], unread=True)
    labeler = Labeler()
    assert make_run().label(labeler) == whole
    assert labeler.seen == [2]
    # a journal of another process, read later, still has the failure
    journal = make_run().journal_dir / "0.jsonl"
    header, *_ = journal.read_text().splitlines(keepends=True)
    line = json.dumps(["2", failed["2"]])
    journal.with_name("3.jsonl").write_text(f"{header}{line}\n")
    labeler = Labeler()
    assert make_run().label(labeler) == whole
    assert labeler.seen == []


def test_images_with_names_for_ids_are_those_of_the_bank(root):
    """By the number that training gives the name, the bank leaves out an image's own objects."""
    sample = DetDataSample(metainfo=dict(img_shape=(96, 96), img_id="2008_000001"))
    sample.gt_instances = InstanceData(bboxes=torch.ones(1, 4), labels=torch.zeros(1).long())
    trained = BoxObjects.from_samples([sample])
    image = dict(id="2008_000001", file_name="1.png", width=96, height=96)
    task = ImageTask(image, [dict(id=1, bbox=[0, 0, 9, 9], category_id=1)], {1: "one"})
    objects = task.read(root / "images").objects([0])
    assert objects.image_ids.tolist() == trained.image_ids.tolist() != [-1]
    task = ImageTask({**image, "id": 7}, task.annotations, task.names)
    assert task.read(root / "images").objects([0]).image_ids.tolist() == [7]


def test_a_wrong_folder_is_told_before_anything_is_written(make_run, tmp_path):
    run = make_run()
    wrong = LabelRun(run.dataset, tmp_path / "nowhere", run.journal_dir, {})
    with pytest.raises(FileNotFoundError, match="none of the 5 exists; the first would be"):
        wrong.label(Labeler())
    assert not run.journal_dir.exists()


@pytest.mark.slow
def test_two_processes_share_the_images(root, tmp_path):
    tool = HERE.parents[1] / "tools" / "autolabel.py"
    paths = [root / "boxes.json", root / "images", tmp_path / "two.json"]
    options = ["--teacher-only", "--device", "cpu", "--crop-size", "32"]
    launch = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0",
        "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0",
        str(tool), *options, *map(str, paths),  # torchrun is noticed
    ]  # fmt: skip
    run = subprocess.run(launch, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("10 masks") == 1
    labelled = json.loads(paths[2].read_text())
    assert [a["id"] for a in labelled["annotations"] if a["segmentation"]] == list(range(1, 11))
    assert sorted(tmp_path.iterdir()) == [paths[2]]
