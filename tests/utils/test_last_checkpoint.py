"""What a kill leaves of checkpoints, and what is resumed from."""

from __future__ import annotations

import locale
import os

import pytest
import torch

from mmdet_discobox.utils.last_checkpoint import repair_last_checkpoint


@pytest.fixture
def save(tmp_path):
    """Writes a checkpoint, whole or cut, whose age counts down."""
    ages = iter(range(1000, 0, -1))

    def run(name, *, cut=0):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        torch.save(dict(weights=torch.zeros(100)), path)
        path.write_bytes(path.read_bytes()[: -cut or None])
        os.utime(path, (10**9, 10**9 - next(ages)))
        return path

    return run


@pytest.fixture
def pointer(tmp_path):
    return tmp_path / "last_checkpoint"


def test_a_pointer_to_a_whole_checkpoint_stays(tmp_path, save, pointer):
    assert repair_last_checkpoint(tmp_path) is None
    assert not pointer.exists()
    pointer.write_text(str(save("epoch_1.pth")))
    save("epoch_2.pth")  # killed before the pointer was written
    assert repair_last_checkpoint(tmp_path) is None
    assert pointer.read_text().endswith("epoch_1.pth")
    pointer.write_text("s3://bucket/epoch_7.pth")
    assert repair_last_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", [None, "", "gone.pth", "cut"])
def test_the_newest_whole_checkpoint_takes_the_place_of_a_broken_one(
    tmp_path, save, pointer, content
):
    save("epoch_12.pth")  # of an earlier training
    newest = save("epoch_2.pth")
    cut = save("epoch_3.pth", cut=100)
    save("best_coco_segm_mAP_epoch_1.pth")
    if content is not None:
        pointer.write_text(str(cut) if content == "cut" else content)
    message = repair_last_checkpoint(tmp_path)
    assert pointer.read_text() == str(newest)
    assert f"resumes from the newest whole one, '{newest}'" in message
    assert {None: "is missing", "": "is empty"}.get(content, "names '") in message


def test_paths_are_in_the_encoding_that_mmengine_reads(tmp_path, save, pointer, monkeypatch):
    """It opens the file without an encoding, which on Windows is none of all characters."""
    monkeypatch.setattr(locale, "getpreferredencoding", lambda *_: "cp1252")
    newest = save("Jürgen/epoch_2.pth")
    pointer.write_text("")
    repair_last_checkpoint(tmp_path, [newest.parent])
    assert pointer.read_bytes().decode("cp1252") == str(newest)
    assert repair_last_checkpoint(tmp_path, [newest.parent]) is None


def test_without_a_whole_checkpoint_the_training_starts_anew(tmp_path, save, pointer):
    save("iter_3.pth", cut=1)
    pointer.write_text("")
    assert "starts from the beginning" in repair_last_checkpoint(tmp_path)
    assert not pointer.exists()


def test_other_folders_are_searched(tmp_path, save, pointer):
    other = save("elsewhere/iter_3.pth")
    pointer.write_text("")
    repair_last_checkpoint(tmp_path, [other.parent, tmp_path / "nowhere"])
    assert pointer.read_text() == str(other)


def test_a_link_to_a_removed_checkpoint_is_left_alone(tmp_path, save, pointer):
    newest = save("epoch_1.pth")
    (tmp_path / "epoch_2.pth").symlink_to(tmp_path / "moved" / "epoch_2.pth")
    pointer.write_text(str(tmp_path / "epoch_2.pth"))
    assert "resumes from the newest whole one" in repair_last_checkpoint(tmp_path)
    assert pointer.read_text() == str(newest)
