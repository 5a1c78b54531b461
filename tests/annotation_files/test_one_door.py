"""Check, data set, labeller and metric read a json alike: what one refuses or repairs, all do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.registry import DATASETS, METRICS
from one_door import CLASSES, HEIGHT, WIDTH, average_precision, coco, readers, write
from pycocotools import mask as mask_utils

from dataset_checks import TrainingSettings, check_dataset
from mmdet_discobox.annotation_files.annotated_masks import object_area, sensible_mask
from mmdet_discobox.annotation_files.coco_reading import open_coco
from mmdet_discobox.annotation_files.coco_repairs import repair
from mmdet_discobox.annotation_files.coco_values import enclosing_box, parse_flag
from mmdet_discobox.datasets import coco_boxes
from mmdet_discobox.utils.rle import run_lengths


def changed(section: str = "annotations", index: int = 0, **fields: Any) -> Any:
    content = coco()
    content[section][index].update(fields)
    return content


def without(section: str, name: str) -> Any:
    content = coco()
    del content[section][0][name]
    return content


REFUSED = {
    "text id": (changed(image_id="1"), r"`image_id` '1' .* It is text, their `id` is a number: wr"),
    "number id": (changed("images", id="1"), r"It is a number, their `id` is text: write '1'"),
    "rounded id": (changed("images", id=1.5e300), r"`image` no. 0 .*its `id` is 1\.5e\+300"),
    "null class": (changed(category_id=None), r"annotation 1 .*: `category_id` None is not in"),
    "no class": (without("annotations", "category_id"), r"has no `category_id`"),
    "flag": (changed(iscrowd="maybe"), r"annotation 1 .*: `iscrowd` is 'maybe'. Set it to 0 or 1"),
    "flag of another type": (changed(ignore=[0]), r"`ignore` is \[0\]"),
    "flag of another number": (changed(iscrowd=2), r"`iscrowd` is 2"),
    "one name twice": (
        changed("categories", 1, name="cat"),
        r"category 3 \('cat'\): its name is that of category 7. Merge the categories",
    ),
    "half a pixel": (changed("images", width=47.5), r"`width` is 47.5. .*whole pixels"),
    "more pixels than OpenCV reads": (
        changed("images", width=2**20, height=2**20), "up to 1073741824 pixels"
    ),
    "half a character": (changed("images", file_name="\ud800.png"), r"`file_name` is '\\ud800"),
    "a device": (changed("images", file_name="/dev/zero"), r"'/dev/zero'\): .* leaves the folder"),
    "the folder above": (changed("images", file_name="../1.png"), "leaves the folder"),
    "nested": (changed(extra=json.loads("[" * 60 + "]" * 60)), r"`extra` is nested more than 50"),
}  # fmt: skip


@pytest.mark.parametrize("reader", ["check", "data_set", "labeller", "metric"])
@pytest.mark.parametrize("kind", REFUSED)
def test_all_refuse_with_place_and_fix(tmp_path: Path, kind: str, reader: str) -> None:
    content, message = REFUSED[kind]
    if reader == "metric" and "leaves the folder" in message:
        pytest.skip("a metric reads no images")
    with pytest.raises(ValueError, match=message):
        readers(tmp_path, content, classes=None if reader == "check" else CLASSES)[reader]()


@pytest.mark.parametrize("classes", [None, ()])
def test_a_data_set_needs_classes(tmp_path: Path, classes: Any) -> None:
    with pytest.raises(ValueError, match=r"`classes` is .*, not a list of names. Set meta"):
        readers(tmp_path, coco(), classes=classes)["data_set"]()


def test_names_that_look_alike_are_one_name(tmp_path: Path) -> None:
    content = coco()
    content["categories"] = [dict(id=7, name="w\u00e9"), dict(id=3, name="we\u0301")]
    with pytest.raises(ValueError, match="its name looks like, in other Unicode letters, that of"):
        readers(tmp_path, content)["labeller"]()
    content["categories"][1]["name"] = "dog"
    with pytest.raises(ValueError, match=r"They look alike.* they are 'w\\xe9', 'dog'"):
        readers(tmp_path, content, classes=("we\u0301", "dog"))["data_set"]()


@pytest.mark.parametrize("value", [0, 0.0, "0", "false", "False", False, None, ""])
def test_flags_that_are_not_set(tmp_path: Path, value: Any) -> None:
    assert parse_flag(value) is False
    every = {n: read() for n, read in readers(tmp_path, coco(iscrowd=value, ignore=value)).items()}
    trained = [i for info in every["data_set"] for i in info["instances"] if not i["ignore_flag"]]
    assert len(trained) == 4
    assert not any(a.get("iscrowd") for a in every["labeller"]["annotations"])
    assert [a["iscrowd"] for a in every["metric"]._coco_api.dataset["annotations"]] == [0] * 4
    assert "`iscrowd` set" not in str(every["check"])


@pytest.mark.parametrize("value", [1, 1.0, "1", "true", "TRUE", True])
def test_flags_that_are_set(tmp_path: Path, value: Any) -> None:
    assert parse_flag(value) is True
    content = changed(iscrowd=value)
    every = {name: read() for name, read in readers(tmp_path, content).items()}
    flags = [i["ignore_flag"] for info in every["data_set"] for i in info["instances"]]
    assert flags == [1, 0, 0, 0]
    assert every["labeller"]["annotations"][0]["iscrowd"] == 1
    assert every["metric"]._coco_api.dataset["annotations"][0]["iscrowd"] == 1
    assert "1 boxes have `iscrowd` set" in str(every["check"])


def test_a_training_without_a_box_stops_before_the_first_step(tmp_path: Path) -> None:
    """Crowds alone, as CVAT's brush makes them: training would learn nothing, without a word."""
    every = readers(tmp_path, coco(iscrowd=1))
    with pytest.raises(ValueError, match="none of its 4 is left: 4 have `iscrowd` set"):
        every["data_set"]()
    with pytest.raises(ValueError, match="There is no box to train on"):
        every["check"]()


ODD_MASKS = {
    "no list": "noise",
    "empty list": [[]],
    "point": [[10, 10]],
    "line": [[10, 10, 20, 20]],
    "flat": [4, 6, 24, 6, 24, 16, 4, 16],
    "odd number": [[4, 6, 24, 6, 24, 16, 4]],
    "text": [["4", "6", "24", "6", "24", "16"]],
    "far away": [[1e7, 0, 2e7, 0, 2e7, 1e7]],
    "one point three times": [[1, 1, 1, 1, 1, 1]],
    "slanted line": [[1, 1, 5, 5, 9, 9]],
    "outside the image": [[-30, -30, -20, -30, -20, -20]],
    "RLE of another size": dict(size=[WIDTH, HEIGHT], counts=[0, WIDTH * HEIGHT]),
    "RLE that is too short": dict(size=[HEIGHT, WIDTH], counts=[5, 5]),
    "RLE that is too long": dict(size=[HEIGHT, WIDTH], counts=[5, 10**7]),
    "RLE of noise": dict(size=[HEIGHT, WIDTH], counts="~~~~"),
    "unfinished RLE": dict(size=[HEIGHT, WIDTH], counts="o"),
    "empty RLE": dict(size=[HEIGHT, WIDTH], counts=[WIDTH * HEIGHT]),
    "RLE without counts": dict(size=[HEIGHT, WIDTH]),
}


@pytest.mark.parametrize("kind", ODD_MASKS)
def test_a_senseless_segmentation_is_no_mask(tmp_path: Path, kind: str) -> None:
    """Box AP goes on; mask AP is refused before the first image."""
    assert sensible_mask(ODD_MASKS[kind], height=HEIGHT, width=WIDTH) is None
    polygon = [[4, 6, 24, 6, 24, 16, 4, 16]]
    content = coco(segmentation=polygon)
    content["annotations"][2]["segmentation"] = ODD_MASKS[kind]
    every = {name: read() for name, read in readers(tmp_path, content).items()}
    masks = ["segmentation" in a for a in every["labeller"]["annotations"]]
    assert masks == [True, True, False, True]
    assert every["metric"].metrics == ["bbox"]
    with pytest.raises(ValueError, match=r"1 of the 4 .*boxes.json' have no usable .* id 3"):
        METRICS.build(
            dict(type="CocoBoxMetric", ann_file=str(tmp_path / "boxes.json"), metric="segm")
        )


def test_polygons_that_make_sense_stay() -> None:
    good = [4, 6, 24, 6, 24, 16, 4, 16]
    assert sensible_mask([good, [1, 1]], height=HEIGHT, width=WIDTH) == [good]
    assert sensible_mask([good], height=HEIGHT, width=WIDTH) == [good]


def test_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = rng.integers(1, 60, 2)
        mask = np.asfortranarray(rng.random(shape) < rng.random() ** 3, dtype=np.uint8)
        lengths = run_lengths(mask_utils.encode(mask)["counts"].decode())
        runs = np.repeat(np.arange(len(lengths)) % 2, lengths)
        assert (runs == mask.ravel(order="F")).all()


@pytest.mark.parametrize(
    "area", [None, 0, -1, 1.0, "200", float("nan"), WIDTH * HEIGHT, 10**400, [], True]
)
def test_an_area_that_cannot_be_the_objects_is_computed(tmp_path: Path, area: Any) -> None:
    content = coco(area=area)
    every = readers(tmp_path, content)
    expected = [a["bbox"][2] * a["bbox"][3] for a in content["annotations"]]
    for dataset in (every["labeller"](), every["metric"]()._coco_api.dataset):
        assert [a["area"] for a in dataset["annotations"]] == expected
    content = coco(area=area, segmentation=[[4, 6, 24, 6, 4, 16]])  # a triangle
    areas = [a["area"] for a in readers(tmp_path, content)["labeller"]()["annotations"]]
    assert areas == pytest.approx([100] * 4, abs=10)


@pytest.mark.parametrize("area", [100, 117.5, 40.0])
def test_an_area_that_can_be_the_objects_is_kept(area: float) -> None:
    annotation = dict(bbox=[4, 6, 20, 10], area=area)
    assert object_area(annotation, height=HEIGHT, width=WIDTH) == area


def test_an_area_that_nobody_reads_is_no_repair() -> None:
    """NaN differs from itself: a training on boxes was told that it was computed anew."""
    content = coco(area=float("nan"))
    assert repair(content, masks=False)[1] == []
    assert [each.count for each in repair(content)[1]] == [4]


def test_the_box_around_a_rotated_rectangle(tmp_path: Path) -> None:
    """CVAT writes the rectangle before its rotation."""
    assert enclosing_box([60, 60, 90, 24], 90) == [93, 27, 24, 90]
    assert enclosing_box([0, 0, 10, 10], 45) == pytest.approx(
        [5 - 50**0.5, 5 - 50**0.5, 200**0.5, 200**0.5], abs=1e-5
    )
    content = changed(bbox=[14, 12, 20, 8], attributes=dict(rotation=90.0, occluded=False))
    every = {name: read() for name, read in readers(tmp_path, content).items()}
    turned = [20, 6, 8, 20]
    assert every["labeller"]["annotations"][0]["bbox"] == turned
    assert every["metric"]._coco_api.dataset["annotations"][0]["bbox"] == turned
    assert every["data_set"].get_data_info(0)["instances"][0]["bbox"] == [20, 6, 28, 26]
    assert "note: 1 boxes are rotated rectangles of CVAT" in str(every["check"])
    again = open_coco(every["labeller"], name="again")
    assert again["annotations"][0]["bbox"] == turned  # the output of a reader is not turned again


@pytest.mark.parametrize(
    "ids",
    [(2**53 + 1, 2**53 + 2), (2**63 + 1000, 2**63 + 1001), (2**127 + 1, -5), ("a", 1), (0, "0")],
)
def test_ids_of_any_kind_train_and_are_evaluated(tmp_path: Path, ids: Any) -> None:
    content = coco()
    names = dict(zip((1, 2), ids, strict=True))
    for image in content["images"]:
        image["id"] = names[image["id"]]
    for annotation in content["annotations"]:
        annotation["image_id"] = names[annotation["image_id"]]
    every = {name: read() for name, read in readers(tmp_path, content).items()}
    assert [info["img_id"] for info in every["data_set"]] == list(ids)
    assert average_precision(every["metric"], every["data_set"]) == 1


def test_whole_floats_of_pandas_are_numbers(tmp_path: Path) -> None:
    content = coco()
    for record in (*content["images"], *content["annotations"], *content["categories"]):
        for name in ("id", "image_id", "category_id", "width", "height"):
            if name in record:
                record[name] = float(record[name])
    every = {name: read() for name, read in readers(tmp_path, content).items()}
    assert type(every["labeller"]["images"][0]["width"]) is int
    assert average_precision(every["metric"], every["data_set"]) == 1


def test_images_left_out_are_counted_with_the_reason(tmp_path: Path) -> None:
    content = coco()
    content["annotations"] = content["annotations"][:2]
    path = write(tmp_path, content)
    config = dict(
        type="CocoBoxDataset", ann_file=str(path), data_prefix=dict(img=str(tmp_path / "images")),
        metainfo=dict(classes=CLASSES), pipeline=[],
    )  # fmt: skip
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_boxes, "print_log", lambda text, **_: lines.append(text))
        assert len(DATASETS.build(dict(config, filter_cfg=dict(filter_empty_gt=True)))) == 1
    assert "leaves out 1 of 2 images: 1 without a box (filter_empty_gt=True)" in lines[0]
    with pytest.raises(ValueError, match="leaves out 2 of 2 images: 2 smaller than min_size=99"):
        DATASETS.build(dict(config, filter_cfg=dict(min_size=99)))


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda d: d,
        lambda d: dict(type="RepeatDataset", times=2, dataset=d),
        lambda d: dict(type="ConcatDataset", datasets=[d, d]),
        lambda d: dict(type="MultiImageMixDataset", dataset=d, pipeline=[]),
    ],
)
def test_the_check_asks_the_data_set_of_the_config(tmp_path: Path, wrapped: Any) -> None:
    path = write(tmp_path, coco())
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    data = dict(type="CocoBoxDataset", ann_file=str(path), pipeline=[])

    def report(classes: Any) -> str:
        data["metainfo"] = dict(classes=classes)
        config = dict(
            model=dict(mask_head=dict(num_classes=2)),
            train_dataloader=dict(dataset=wrapped(dict(data))),
        )
        return str(check_dataset(path, tmp_path / "images", config=config))

    assert "error" not in report(str(names))
    assert "names that the json does not have: 'ein'" in report(["ein"])
    names.write_text("dog\ncat\n")
    assert "`classes` is ['dog', 'cat'], but the json has" in report(str(names))


def test_the_check_finds_the_json_among_several_by_any_path(tmp_path: Path) -> None:
    path = write(tmp_path, coco())
    other = path.with_name("other.json")
    other.write_bytes(path.read_bytes())
    prefix = dict(img=str(tmp_path / "images"))
    data = [
        dict(type="CocoBoxDataset", ann_file=str(file), data_prefix=prefix, pipeline=[])
        for file in (other, path)
    ]
    for each in data:
        each["metainfo"] = dict(classes=("cat", "dog"))
    loader = dict(dataset=dict(type="ConcatDataset", datasets=data))
    config = dict(model=dict(), train_dataloader=loader)
    (tmp_path / "link.json").symlink_to(path)
    for same in (tmp_path / "images" / ".." / path.name, tmp_path / "link.json"):
        assert "error" not in str(check_dataset(same, tmp_path / "images", config=config))
    with pytest.raises(ValueError, match="Expected ANN_JSON to be one of the data sets"):
        check_dataset(tmp_path / "third.json", tmp_path / "images", config=config)


def test_outer_pipelines_decide_on_the_size() -> None:
    resize = [dict(type="Resize", scale=(320, 320))]
    inner = dict(type="CocoBoxDataset", pipeline=[dict(type="Resize", scale=(80, 80))])
    outer = dict(type="MultiImageMixDataset", dataset=inner, pipeline=resize)
    config = dict(model=dict(), train_dataloader=dict(dataset=outer))
    assert TrainingSettings.from_config(config).image_scale == (320, 320)
    outer["pipeline"] = [dict(type="Mosaic", img_scale=(640, 480))]
    assert TrainingSettings.from_config(config).image_scale == (640, 480)


def test_a_pipe_is_no_json(tmp_path: Path) -> None:
    """Opening it would wait forever."""
    write(tmp_path, coco())
    (tmp_path / "boxes.json").unlink()
    os.mkfifo(tmp_path / "boxes.json")
    with pytest.raises(FileNotFoundError, match="no such file"):
        check_dataset(tmp_path / "boxes.json", tmp_path / "images")
