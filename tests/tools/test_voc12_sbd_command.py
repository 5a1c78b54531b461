"""The command line that converts VOC 2012 and SBD."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import voc12_files as files

SCRIPT = Path(__file__).parents[2] / "tools" / "dataset_converters" / "voc12_sbd.py"
main = runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture
def folders(tmp_path):
    voc, sbd = files.write_sets(tmp_path)
    return [str(voc), str(sbd), str(tmp_path / "out")]


def test_lists_to_exclude(folders, tmp_path, capsys):
    pairs = f"source_image,target_image,class,XA,YA,XB,YB\n{files.BOTH}.jpg,x.jpg,1,1,1,1,1\n"
    (tmp_path / "test_pairs.csv").write_text(pairs)
    (tmp_path / "list.txt").write_text(f"{files.SBD_VAL}\n")
    lists = ["--exclude", str(tmp_path / "list.txt"), "--pf-pascal-test"]
    main([*folders, *lists, str(tmp_path / "test_pairs.csv")])
    content = json.loads((tmp_path / "out" / "train_aug_boxes.json").read_text())
    assert content["info"]["excluded"] == [files.SBD_VAL, files.BOTH]
    output = capsys.readouterr().out
    assert "2 images (10582 published, 2 excluded), 4 objects" in output
    assert "--pf-pascal-test" not in output


def test_without_lists_the_test_images_are_reported_as_included(folders, capsys):
    main(folders)
    output = capsys.readouterr().out
    assert "4 images (10582 published, 0 excluded), 8 objects" in output
    assert "PF-PASCAL's test pairs are included: see --pf-pascal-test" in output


def test_all_of_several_options_to_exclude_count(folders, tmp_path, capsys):
    options = []
    for name in (files.SBD_VAL, files.BOTH):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
        options += ["--exclude", str(tmp_path / f"{name}.txt")]
    main([*folders, *options])
    content = json.loads((tmp_path / "out" / "train_aug.json").read_text())
    assert content["info"]["excluded"] == sorted([files.SBD_VAL, files.BOTH])
