"""What `autolabel.py` writes can be trained on by the packages that read it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import init_default_scope
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny import write_boxes

TOOL = Path(__file__).parents[2] / "tools" / "autolabel.py"
#: fields beside the box as labelling tools write them
FIELDS = {
    "none": dict(),
    "area 0 and an empty polygon": dict(area=0, iscrowd=0, segmentation=[[]]),
    "area of the box": dict(area=1600.0, iscrowd=0, segmentation=[]),
    "area of the image": dict(area=9216, iscrowd=0),
    "null": dict(area=None, iscrowd=None, segmentation=None),
    "text": dict(area="12", iscrowd=False),
    "nan": dict(area=float("nan")),
    "text flags": dict(iscrowd="0", ignore="false", area=1.0),
    "a rectangle turned by nothing": dict(attributes=dict(rotation=0.0)),
    "crowd without a mask": dict(area=0, iscrowd=1, segmentation=[]),
}


def write_coco(root, fields):
    dataset = json.loads((root / "boxes.json").read_text())
    for annotation in dataset["annotations"]:
        annotation.update(fields)
    (root / "boxes.json").write_text(json.dumps(dataset))
    return root / "boxes.json"


def write_voc(root, _):
    dataset = json.loads((root / "boxes.json").read_text())
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    (root / "Annotations").mkdir()
    for image in dataset["images"]:
        objects = ""
        for a in dataset["annotations"]:
            if a["image_id"] == image["id"]:
                x, y, w, h = a["bbox"]
                objects += (
                    f"<object><name>{names[a['category_id']]}</name><area>0</area><bndbox>"
                    f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
                    f"<ymax>{y + h}</ymax></bndbox></object>"
                )
        text = f"<annotation><filename>{image['file_name']}</filename>{objects}</annotation>"
        (root / "Annotations" / f"{Path(image['file_name']).stem}.xml").write_text(text)
    return root / "Annotations"


def write_yolo(root, _):
    dataset = json.loads((root / "boxes.json").read_text())
    (root / "labels").mkdir()
    for image in dataset["images"]:
        lines = ""
        for a in dataset["annotations"]:
            if a["image_id"] == image["id"]:
                x, y, w, h = (value / 96 for value in a["bbox"])
                lines += f"{a['category_id'] - 1} {x + w / 2} {y + h / 2} {w} {h}\n"
        (root / "labels" / f"{Path(image['file_name']).stem}.txt").write_text(lines)
    (root / "classes.txt").write_text("one\ntwo\nthree\n")
    return root / "labels"


LAYOUTS = [
    *(pytest.param(write_coco, fields, id=f"coco, {name}") for name, fields in FIELDS.items()),
    pytest.param(write_voc, None, id="voc"),
    pytest.param(write_yolo, None, id="yolo"),
]


def trained_instances(path, image_dir):
    """The instances that stock mmdet trains."""
    init_default_scope("mmdet")
    names = tuple(category["name"] for category in json.loads(path.read_text())["categories"])
    dataset = CocoDataset(
        ann_file=str(path),
        data_prefix=dict(img=f"{image_dir}/"),
        metainfo=dict(classes=names),
        filter_cfg=dict(filter_empty_gt=True, min_size=1),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        ],
    )
    samples = [dataset[index] for index in range(len(dataset))]
    return [
        (mask, ignored)
        for sample in samples
        for mask, ignored in zip(sample["gt_masks"].masks, sample["gt_ignore_flags"], strict=True)
    ]


@pytest.mark.parametrize(("write", "fields"), LAYOUTS)
def test_stock_mmdet_trains_every_object(autolabel, tmp_path, write, fields):
    root = write_boxes(tmp_path / "set", num_images=3)
    out = tmp_path / "out.json"
    autolabel("--teacher-only", write(root, fields), root / "images", out)
    annotations = json.loads(out.read_text())["annotations"]
    assert len(annotations) == 4
    for annotation in annotations:
        assert annotation["area"] == coco_mask.area(annotation["segmentation"])
        assert annotation["iscrowd"] == 0
    instances = trained_instances(out, root / "images")
    assert [int(mask.sum()) for mask, _ in instances] == [a["area"] for a in annotations]
    assert not any(ignored for _, ignored in instances)
    perfect = COCO(str(out))
    found = [
        dict(score=1.0, **{key: a[key] for key in ("image_id", "category_id", "segmentation")})
        for a in annotations
    ]
    evaluation = COCOeval(perfect, perfect.loadRes(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


@pytest.mark.parametrize("fields", [dict(), dict(area=None), dict(area=1600, segmentation=[[]])])
def test_a_json_with_failed_boxes_can_be_trained(autolabel, tmp_path, fields):
    root = write_boxes(tmp_path / "set", num_images=3)
    boxes = write_coco(root, fields)
    image = root / "images" / "1.png"
    content = image.read_bytes()
    image.write_bytes(b"no image")
    autolabel("--teacher-only", boxes, root / "images", tmp_path / "out.json", status=1)
    image.write_bytes(content)
    instances = trained_instances(tmp_path / "out.json", root / "images")
    assert [ignored for _, ignored in instances] == [False, False]  # failed boxes are dropped


def yolo_masks(folder, name):
    masks = []
    for line in (folder / "labels" / f"{name}.txt").read_text().splitlines():
        points = (np.array(line.split()[1:], dtype=float).reshape(-1, 2) * 96).flatten()
        masks.append(coco_mask.decode(coco_mask.frPyObjects([points.tolist()], 96, 96))[..., 0])
    return masks


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_all_formats_have_the_same_masks(autolabel, tmp_path, write):
    root = write_boxes(tmp_path / "set", num_images=3)
    paths = ("--teacher-only", write(root, {}), root / "images")
    before = sorted(root.rglob("*"))
    autolabel(*paths, tmp_path / "out.json")
    output = autolabel(*paths, tmp_path / "yolo", "--format", "yolo-seg")
    assert f"4 masks: {tmp_path / 'yolo'}" in output
    assert "yolo segment train" in output
    output = autolabel(*paths, tmp_path / "voc", "--format", "voc-png")
    assert f"4 masks: {tmp_path / 'voc'}" in output
    assert sorted(root.rglob("*")) == before  # the labels of YOLO in `labels` are untouched
    assert {path.name for path in tmp_path.iterdir()} == {"set", "out.json", "yolo", "voc"}
    dataset = json.loads((tmp_path / "out.json").read_text())
    names = {image["id"]: Path(image["file_name"]).stem for image in dataset["images"]}
    for image_id, name in names.items():
        codes = [a["segmentation"] for a in dataset["annotations"] if a["image_id"] == image_id]
        union = np.zeros((96, 96), bool)
        for code, back in zip(codes, yolo_masks(tmp_path / "yolo", name), strict=True):
            mask = coco_mask.decode(code)
            union |= mask > 0
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            filled = cv2.drawContours(np.zeros((96, 96), np.uint8), contours, -1, 1, cv2.FILLED)
            assert (filled & back).sum() / (filled | back).sum() > 0.95
        indices = np.asarray(Image.open(tmp_path / "voc" / "SegmentationObject" / f"{name}.png"))
        assert np.array_equal(indices > 0, union)


def test_report_truth_and_accepted_work_with_every_format(autolabel, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=3)
    paths = ("--teacher-only", root / "boxes.json", root / "images")
    accepted = tmp_path / "accepted.json"
    accepted.write_text('{"accepted": [2, 3]}')
    autolabel(*paths, tmp_path / "masks.json")
    for file_format in ("yolo-seg", "voc-png"):
        out, page = tmp_path / file_format, tmp_path / f"page of {file_format}"
        options = ("--format", file_format, "--truth", root / "masks.json", "--report", page)
        assert "4 boxes: mean IoU" in autolabel(*paths, out, *options)
        assert "data:image/png" in (page / "index.html").read_text()
        good = tmp_path / f"good {file_format}"
        output = autolabel(
            "--accepted", accepted, tmp_path / "masks.json", good, "--format", file_format
        )
        assert f"2 accepted masks: {good}" in output
    assert "Copy or link the images" not in output
    counts = [len(yolo_masks(tmp_path / "good yolo-seg", name)) for name in "012"]
    assert counts == [0, 1, 1]
    for name, expected in (("0", 0), ("1", 1), ("2", 1)):
        png = tmp_path / "good voc-png" / "SegmentationObject" / f"{name}.png"
        assert np.asarray(Image.open(png)).max() == expected


def test_the_current_folder_may_be_the_output(autolabel, tmp_path, monkeypatch):
    root = write_boxes(tmp_path / "set", num_images=2)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    autolabel("--teacher-only", root / "boxes.json", root / "images", ".", "--format", "voc-png")
    assert (tmp_path / "out" / "class_names.txt").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]


def test_folders_in_the_way_are_refused_before_labelling(autolabel, tmp_path):
    root = write_boxes(tmp_path / "set", num_images=3)
    paths = ("--teacher-only", root / "boxes.json", root / "images")
    for out, options, message in (
        (root, ("--format", "yolo-seg"), "Expected a new or empty folder for --format yolo-seg"),
        (root / "masks.json", ("--format", "voc-png"), "Expected a new or empty folder"),
        (root, (), "to be a file, but"),
    ):
        with pytest.raises(ValueError, match=message):
            autolabel(*paths, out, *options)
    new = tmp_path / "new"
    for page, options in (
        (new, ()),
        (new / "look", ("--format", "yolo-seg")),
        (new.parent / "x" / ".." / "new", ("--format", "voc-png")),
    ):
        with pytest.raises(ValueError, match="Expected --report outside OUT_JSON"):
            autolabel(*paths, new, "--report", page, *options)
    assert not new.exists()
    twice = json.loads((root / "boxes.json").read_text())
    twice["images"][2]["file_name"] = "1.jpg"
    (tmp_path / "twice.json").write_text(json.dumps(twice))
    with pytest.raises(ValueError, match=r"'1.png' and '1.jpg' would both have '1.txt'"):
        autolabel(
            "--teacher-only", tmp_path / "twice.json", root / "images", tmp_path / "out",
            "--format", "yolo-seg",
        )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"set", "twice.json"}


@pytest.mark.parametrize("file_format", ["coco", "yolo-seg", "voc-png"])
def test_a_command_that_is_stopped_while_it_draws_the_page_can_be_run_again(
    autolabel, tmp_path, monkeypatch, file_format
):
    root = write_boxes(tmp_path / "set", num_images=3)
    out, page = tmp_path / "out", tmp_path / "page"
    command = ("--teacher-only", "--device", "cpu", "--format", file_format, root / "boxes.json")
    command += (root / "images", out, "--report", page)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("autolabelling.report.write_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            autolabel(*command)
    assert out.exists() == (file_format == "coco")  # whose page can be drawn later
    autolabel(*command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "page", "set"]
    assert (page / "index.html").is_file()
