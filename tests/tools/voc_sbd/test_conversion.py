"""VOC 2012 and SBD to COCO json, from files in the structure of the downloads."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch
import voc12_files as files
from mmdet.registry import DATASETS, METRICS
from PIL import Image
from pycocotools import mask as mask_utils
from scipy.io import savemat

from mmdet_discobox.utils.voc import VOC_CLASSES
from voc_sbd import convert_voc12_sbd
from voc_sbd.conversion import Split

OUTPUTS = ["train_aug.json", "train_aug_boxes.json", "val.json", "val_boxes.json"]


@pytest.fixture
def sets(tmp_path):
    """The folders of VOC and SBD and one to write into, below a name with a space and an umlaut."""
    root = tmp_path / "Bilder für VOC"
    return *files.write_sets(root), root / "out"


def read(out, name):
    return json.loads((out / name).read_text(encoding="utf-8"))


def file_names(content):
    return [image["file_name"].removesuffix(".jpg") for image in content["images"]]


def of_image(content, name):
    ids = {image["file_name"]: image["id"] for image in content["images"]}
    return [each for each in content["annotations"] if each["image_id"] == ids[f"{name}.jpg"]]


def test_the_splits(sets):
    """Each image once, none of val in train_aug, though SBD lists one of them."""
    splits = convert_voc12_sbd(*sets)
    train = [files.VOC_ALONE, files.SBD_TRAIN, files.SBD_VAL, files.BOTH]
    assert file_names(read(sets[2], "train_aug.json")) == sorted(train)
    assert file_names(read(sets[2], "val.json")) == sorted([files.VAL, files.VAL_IN_SBD])
    assert splits == {"train_aug": Split(4, 8, 0), "val": Split(2, 4, 0)}
    assert sorted(path.name for path in sets[2].iterdir()) == sorted(OUTPUTS)


@pytest.mark.parametrize(
    ("split", "name"), [("train_aug", files.VOC_ALONE), ("val", files.VAL_IN_SBD)]
)
def test_masks_of_voc(sets, split, name):
    """Void is in no mask and out of the boxes; classes are those of SegmentationClass."""
    convert_voc12_sbd(*sets)
    bird, dog = of_image(read(sets[2], f"{split}.json"), name)
    assert (bird["category_id"], dog["category_id"]) == (3, 12)
    assert (bird["bbox"], dog["bbox"]) == ([1, 2, 2, 2], [5, 0, 4, 6])
    assert (bird["area"], dog["area"]) == (4, 24)
    objects, _ = files.voc_indices()
    np.testing.assert_array_equal(mask_utils.decode(bird["segmentation"]), objects == 1)
    np.testing.assert_array_equal(mask_utils.decode(dog["segmentation"]), objects == 2)


def test_masks_of_sbd(sets):
    """A category without a pixel makes no object, and void is none."""
    convert_voc12_sbd(*sets)
    persons = of_image(read(sets[2], "train_aug.json"), files.SBD_VAL)
    assert [person["category_id"] for person in persons] == [15, 15]
    assert [person["bbox"] for person in persons] == [[1, 1, 3, 2], [4, 1, 5, 2]]
    for index, person in enumerate(persons):
        mask = mask_utils.decode(person["segmentation"])
        np.testing.assert_array_equal(mask, files.sbd_indices() == index + 1)


def test_where_both_have_an_image_voc_decides(sets):
    convert_voc12_sbd(*sets)
    content = read(sets[2], "train_aug.json")
    assert [each["category_id"] for each in of_image(content, files.BOTH)] == [3, 12]


def test_boxes_alone_tell_no_mask(sets):
    convert_voc12_sbd(*sets)
    for split in ("train_aug", "val"):
        full, boxes = read(sets[2], f"{split}.json"), read(sets[2], f"{split}_boxes.json")
        keys = {"id", "image_id", "category_id", "bbox", "iscrowd", "area"}
        assert {frozenset(each) for each in boxes["annotations"]} == {frozenset(keys)}
        for with_mask, box in zip(full["annotations"], boxes["annotations"], strict=True):
            same = keys - {"area"}
            assert {key: with_mask[key] for key in same} == {key: box[key] for key in same}
            assert box["area"] == box["bbox"][2] * box["bbox"][3]


def test_the_json_feeds_data_sets_and_metric(sets):
    """mmdet's data set takes both, and ground truth as prediction has an AP of 1."""
    voc, _, out = sets
    convert_voc12_sbd(*sets)
    options = dict(
        data_root=str(voc), data_prefix=dict(img="JPEGImages/"), metainfo=dict(classes=VOC_CLASSES)
    )
    for kind in ("CocoDataset", "CocoBoxDataset"):
        config = dict(type=kind, ann_file=str(out / "train_aug_boxes.json"), **options)
        assert sum(len(info["instances"]) for info in DATASETS.build(config)) == 8
    dataset = DATASETS.build(dict(type="CocoDataset", ann_file=str(out / "val.json"), **options))
    metric = METRICS.build(dict(type="VOCInstanceMetric", ann_file=str(out / "val.json")))
    metric.dataset_meta = dataset.metainfo
    for info in dataset:
        metric.process({}, [perfect(info)])
    assert metric.evaluate(2)["voc_instance/AP_75"] == 1


def perfect(info):
    labels = np.array([instance["bbox_label"] for instance in info["instances"]])
    instances = dict(
        masks=[instance["mask"] for instance in info["instances"]],
        labels=torch.from_numpy(labels),
        scores=torch.ones(len(labels)),
    )
    return dict(img_id=info["img_id"], pred_instances=instances)


def test_images_left_out(sets):
    """Only train_aug loses them, the ids of the others stay, and the json tells of it."""
    convert_voc12_sbd(*sets)
    before = read(sets[2], "train_aug.json")
    splits = convert_voc12_sbd(*sets, exclude={files.SBD_VAL, files.VAL, "2011_999999"})
    after = read(sets[2], "train_aug.json")
    assert after["images"] == [
        image for image in before["images"] if files.SBD_VAL not in image["file_name"]
    ]
    assert after["info"]["excluded"] == [files.SBD_VAL]
    assert splits == {"train_aug": Split(3, 6, 1), "val": Split(2, 4, 0)}
    assert {each["image_id"] for each in after["annotations"]} == {
        image["id"] for image in after["images"]
    }


def test_files_of_images_left_out_may_be_missing(sets):
    (sets[1] / "inst" / f"{files.SBD_VAL}.mat").unlink()
    assert convert_voc12_sbd(*sets, exclude={files.SBD_VAL})["train_aug"].images == 3


@pytest.mark.parametrize("stop_after", range(7))
def test_a_killed_conversion_goes_on(sets, stop_after):
    """Nothing half-written is left, what was read is not read again, and the result is the same."""
    out = sets[2]
    convert_voc12_sbd(*sets)
    expected = {name: (out / name).read_bytes() for name in OUTPUTS}
    shutil.rmtree(out)

    def killed(names):
        yield from names[:stop_after]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_voc12_sbd(*sets, track=killed)
    assert [path.name for path in out.iterdir()] == ["voc12_sbd.journal"]
    read_again = []
    convert_voc12_sbd(*sets, track=lambda names: read_again.extend(names) or names)
    assert len(read_again) == 6 - stop_after
    assert {name: (out / name).read_bytes() for name in OUTPUTS} == expected


@pytest.mark.parametrize("replaced", range(4))
def test_killed_while_writing(sets, monkeypatch, replaced):
    """Each json is whole or not there, and the next call reads no image again."""
    out = sets[2]
    convert_voc12_sbd(*sets)
    expected = {name: (out / name).read_bytes() for name in OUTPUTS}
    shutil.rmtree(out)
    replace, calls = os.replace, []

    def killed(source, target):
        if len(calls) == replaced:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            convert_voc12_sbd(*sets)
    written = {path.name: path.read_bytes() for path in out.glob("*.json")}
    assert written == {name: expected[name] for name in OUTPUTS[:replaced]}
    read_again = []
    convert_voc12_sbd(*sets, track=lambda names: read_again.extend(names) or names)
    assert read_again == []
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("VOCdevkit/VOC2012", r"VOCtrainval_11-May-2012\.tar"),
        ("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "host.robots.ox.ac.uk"),
        ("VOCdevkit/VOC2012/SegmentationObject", "host.robots.ox.ac.uk"),
        (f"VOCdevkit/VOC2012/SegmentationClass/{files.VAL}.png", "host.robots.ox.ac.uk"),
        (f"VOCdevkit/VOC2012/JPEGImages/{files.SBD_VAL}.jpg", "host.robots.ox.ac.uk"),
        ("benchmark_RELEASE/dataset", r"benchmark\.tgz"),
        ("benchmark_RELEASE/dataset/val.txt", "home.bharathh.info"),
        (f"benchmark_RELEASE/dataset/inst/{files.SBD_TRAIN}.mat", "home.bharathh.info"),
    ],
)
def test_what_is_missing(sets, path, source):
    target = sets[2].parent / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{target.name}', but it is not there.*{source}"):
        convert_voc12_sbd(*sets)
    assert not sets[2].exists()


def test_many_missing_files_make_one_error(sets):
    for name in (files.SBD_TRAIN, files.SBD_VAL):
        (sets[1] / "inst" / f"{name}.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"\.mat' and 1 more"):
        convert_voc12_sbd(*sets)


def colour(voc, sbd):
    path = voc / "SegmentationObject" / f"{files.VAL}.png"
    Image.open(path).convert("RGB").save(path)


def cut(voc, sbd):
    path = voc / "SegmentationObject" / f"{files.VAL}.png"
    path.write_bytes(path.read_bytes()[:100])


def cut_mat(voc, sbd):
    path = sbd / "inst" / f"{files.SBD_VAL}.mat"
    path.write_bytes(path.read_bytes()[:200])


def other_mat(voc, sbd):
    savemat(sbd / "inst" / f"{files.SBD_VAL}.mat", {"GTcls": {"Segmentation": np.zeros((2, 2))}})


def no_class(voc, sbd):
    objects, _ = files.voc_indices()
    files.write_voc_masks(voc, files.VAL, objects, np.zeros_like(objects))


def no_category(voc, sbd):
    files.write_sbd_masks(sbd, files.SBD_VAL, files.sbd_indices(), [15])


def wrong_category(voc, sbd):
    files.write_sbd_masks(sbd, files.SBD_VAL, files.sbd_indices(), [15, 21])


def other_sizes(voc, sbd):
    objects, classes = files.voc_indices()
    files.write_voc_masks(voc, files.VAL, objects, classes[:-1])


def resized(voc, sbd):
    files.write_jpeg(voc, files.SBD_VAL, (12, 18))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (colour, "palette image of indices, but its mode is 'RGB'"),
        (cut, "Expected an image at"),
        (cut_mat, r"\.mat file with the struct GTinst, but got"),
        (other_mat, r"\.mat file with the struct GTinst, but got: KeyError"),
        (no_class, r"class from 1 to 20 in .*but \[1, 2\] have none"),
        (no_category, r"class from 1 to 20, but instances \[2\] have none; .*\[15\]"),
        (wrong_category, r"instances \[2\] have none; .*\[15, 21\]"),
        (other_sizes, r"to have one size, but got .*\(6, 9\) and \(5, 9\)"),
        (resized, rf"masks of image {files.SBD_VAL} .*size, .*\(12, 18\), but they have \(6, 9\)"),
    ],
)
def test_damaged_files(sets, damage, message):
    damage(*sets[:2])
    with pytest.raises(ValueError, match=message):
        convert_voc12_sbd(*sets)
    assert not list(sets[2].glob("*.json"))


def test_a_stray_pixel_of_another_class_is_outvoted(sets):
    objects, classes = files.voc_indices()
    classes[2, 1] = 20
    files.write_voc_masks(sets[0], files.VAL, objects, classes)
    convert_voc12_sbd(*sets)
    bird, _ = of_image(read(sets[2], "val.json"), files.VAL)
    assert (bird["category_id"], bird["area"]) == (3, 4)


def test_an_image_without_objects(sets):
    files.write_sbd_masks(sets[1], files.SBD_VAL, np.zeros(files.SIZE, np.uint8), [])
    assert convert_voc12_sbd(*sets)["train_aug"] == Split(4, 6, 0)
    assert files.SBD_VAL in file_names(read(sets[2], "train_aug.json"))
