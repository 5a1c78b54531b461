"""`match.py` and `eval_correspondence.py` from the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from tiny import build, tiny_solov2
from tiny_matching import config_of, shifted, texture

from mmdet_discobox.datasets.multi_object import KeypointObjects
from multi_object_pairs import make_object_pairs

TOOLS = Path(__file__).parents[2] / "tools"
NETWORK = ("--features", "backbone", 0, "--size", 8, "--device", "cpu")


def module_of(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name, *arguments):
    module_of(name).main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a config."""
    folder = tmp_path_factory.mktemp("wörk 图")
    config_of(tiny_solov2()).dump(folder / "config.py")
    return folder


@pytest.fixture
def files(folder):
    torch.save(dict(state_dict=build(tiny_solov2()).state_dict()), folder / "a.pth")
    (folder / "car").mkdir(exist_ok=True)
    for name, x in (("a", 0), ("b", 8)):
        image = cv2.imencode(".png", shifted(texture(), x, 0))[1]
        (folder / "car" / f"{name}.png").write_bytes(image.tobytes())
    network = ("--config", folder / "config.py", "--checkpoint", folder / "a.pth", *NETWORK)
    return folder / "car" / "a.png", folder / "car" / "b.png", network


def test_match_given_boxes(files, tmp_path, capsys):
    *images, network = files
    out = tmp_path / "neu ö" / "m.png"
    boxes = ("--boxes", "16,16,64,64", "24,16,72,64")
    tool("match", *images, *network, *boxes, "--out", out, "--height", 96)
    output = capsys.readouterr().out
    assert "Objects: 1 and 1; pairs of a class: 1, drawn: 1" in output
    assert "given boxes: confidence 1.00" in output
    drawing = cv2.imdecode(np.fromfile(out, np.uint8), cv2.IMREAD_COLOR)
    assert drawing.shape == (96, 2 * 96 + 16, 3)


def test_match_detections_and_a_single_image(files, tmp_path, capsys):
    *images, network = files
    tool("match", *images, *network, "--score-thr", 0, "--out", tmp_path / "m.png", "--height", 96)
    output = capsys.readouterr().out
    assert output.count("confidence") == int(output.split("drawn: ")[1].split()[0]) > 0
    boxes = ("--boxes", "8,8,40,40;50,50,90,90", "--label", 2)
    tool("match", images[0], *network, *boxes, "--out", tmp_path / "one.png")
    output = capsys.readouterr().out
    assert "Objects: 2; pairs of a class: 1, drawn: 1" in output
    assert "three: confidence 1.00" in output
    tool("match", *images, *network, "--score-thr", 1.1, "--out", tmp_path / "none.png")
    output = capsys.readouterr().out
    assert "pairs of a class: 0, drawn: 0" in output
    assert "lower --score-thr" in output
    assert (tmp_path / "none.png").is_file()


def test_evaluate_key_points(folder, files, tmp_path, capsys):
    _, _, network = files
    x = ";".join(str(20 + 5 * n) for n in range(10))
    moved = ";".join(str(28 + 5 * n) for n in range(10))
    y = ";".join(str(70 - 4 * n) for n in range(10))
    rows = f"s,t,c,xa,ya,xb,yb\ncar/a.png,car/b.png,car,{x},{y},{moved},{y}\n"
    (folder / "pairs.csv").write_text(rows)
    out = tmp_path / "new" / "r.json"
    tool("eval_correspondence", "pf_willow", folder / "pairs.csv", folder, *network, "--out", out)
    report = json.loads(out.read_text())
    assert list(report["results"]) == ["identity", "nearest", "transport", "icm", "scot"]
    values = {name: result["PCK@0.1"] for name, result in report["results"].items()}
    assert values["identity"] == 0  # all points moved by more
    assert values["icm"] > 0.8
    assert "PCK@0.1/car" in report["results"]["icm"]
    assert report["settings"]["benchmark"] == "pf_willow"
    table = capsys.readouterr().out
    assert "PCK@0.15" in table
    assert "scot" in table


@pytest.mark.parametrize(
    ("benchmark", "protocol", "length"),
    [
        ("pf_pascal", "scot", "img"),
        ("pf_pascal", "ncnet_pf", "keypoints"),
        ("pf_pascal", "dift", "bbox"),
        ("pf_willow", "scot", "keypoints"),
        ("pf_willow", "dift", "keypoints"),
    ],
)
def test_the_length_is_that_of_the_protocol_or_of_the_benchmark(
    folder, files, benchmark, protocol, length
):
    x = ";".join(["20"] * 10)
    (folder / "one.csv").write_text(f"s,t,c,xa,ya,xb,yb\ncar/a.png,car/b.png,7,{x},{x},{x},{x}\n")
    tool = module_of("eval_correspondence")
    line = [benchmark, folder / "one.csv", folder, "--config", "c.py", "--protocol", protocol]
    model = SimpleNamespace(dataset_meta=dict(classes=()))
    inferencer = SimpleNamespace(model=model, describe=None)
    _, _, metric = tool.build_benchmark(tool.parse_args([*map(str, line)]), inferencer)
    assert metric.protocol.length == length


@pytest.mark.parametrize("boxes", ["annotated", "detected"])
def test_evaluate_several_objects(folder, files, tmp_path, boxes):
    _, _, network = files
    records = [
        dict(image=i, label=0, box=(16 + 8 * i, 16, 72 + 8 * i, 72), rotation=None,
             keypoints={n: (30 + 8 * i + 9 * n, 30 + 5 * n) for n in range(3)})
        for i in range(2)
    ]  # fmt: skip
    objects = KeypointObjects.from_records(
        records, images=["car/a.png", "car/b.png"], classes=["one"], num_keypoints=3
    )
    make_object_pairs(objects).save(folder / "pairs.npz")
    out = tmp_path / "r.json"
    tool(
        "eval_correspondence", "multi_object", folder / "pairs.npz", folder, *network, "--out", out,
        "--boxes", boxes, "--matchers", "identity", "icm", "--score-thr", 0,
    )  # fmt: skip
    results = json.loads(out.read_text())["results"]
    assert set(results["icm"]) == {"AP", "AP_0.75", "AP_1", "AP_1.5", "AP_2", "AP_3"}
    if boxes == "annotated":  # the boxes moved as the object did
        assert results["identity"]["AP"] > 0.9


@pytest.mark.parametrize(("name", "is_known"), [("one", True), ("car", False)])
def test_detected_boxes_are_of_a_class_of_the_detector(folder, files, tmp_path, name, is_known):
    _, _, network = files
    coordinates = ",".join([";".join(["30"] * 10)] * 4)
    (folder / name).mkdir(exist_ok=True)
    for image in ("a.png", "b.png"):
        (folder / name / image).write_bytes((folder / "car" / image).read_bytes())
    line = f"s,t,c,xa,ya,xb,yb\n{name}/a.png,{name}/b.png,{name},{coordinates}\n"
    (folder / "named.csv").write_text(line)
    command = ("eval_correspondence", "pf_willow", folder / "named.csv", folder, *network)
    command += ("--boxes", "detected", "--matchers", "identity")
    if is_known:
        tool(*command)
    else:
        with pytest.raises(ValueError, match="of some of car, but its classes are one, "):
            tool(*command)


def test_results_without_key_points_are_null_in_json():
    results = {"icm": {"PCK@0.1": 0.5, "PCK@0.1/car": float("nan")}}
    written = module_of("eval_correspondence").without_nan(results)
    assert json.dumps(written, allow_nan=False) == '{"icm": {"PCK@0.1": 0.5, "PCK@0.1/car": null}}'


def test_a_benchmark_without_pairs(folder, files):
    _, _, network = files
    (folder / "none.csv").write_text("s,t,c,xa,ya,xb,yb\n")
    with pytest.raises(ValueError, match=r"Expected pairs of objects .*none\.csv.* but got none"):
        tool("eval_correspondence", "pf_willow", folder / "none.csv", folder, *network)


def test_arguments_that_do_not_fit(files, capsys):
    _, _, network = files
    with pytest.raises(SystemExit):
        tool("eval_correspondence", "pf_willow", "a.csv", *network)
    assert "expected pairs_csv and root for pf_willow, but got 1 paths" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool("match", "a.png", *network, "--out", "m.png", "--boxes", "1,2,3")
    assert "expected X1,Y1,X2,Y2 but got '1,2,3'" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="Expected an image at"):
        tool("match", "no.png", "no.png", *network, "--out", "m.png")


def test_match_refuses_other_files_before_it_builds_a_network(files, tmp_path):
    image, *_ = files
    network = ("--config", tmp_path / "is not needed.py")
    (tmp_path / "bad.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"Expected an image at '.*bad\.png', but OpenCV"):
        tool("match", image, tmp_path / "bad.png", *network, "--out", tmp_path / "m.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("m", "m.txt"):
        with pytest.raises(ValueError, match="--out to be an image, with a suffix"):
            tool("match", image, *network, "--out", tmp_path / name)
    with pytest.raises(IsADirectoryError, match="Expected --out to name a file"):
        tool("match", image, *network, "--out", tmp_path / "folder.png")
    assert not (tmp_path / "m.png").exists()
