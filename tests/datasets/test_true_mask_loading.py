"""True masks of some objects: data set, transforms of mmdet, settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmdet.registry import DATASETS, HOOKS, TRANSFORMS
from mmengine.dataset import ConcatDataset
from tiny import write_boxes

from mmdet_discobox.datasets import coco_boxes
from mmdet_discobox.datasets.true_mask_loading import LoadTrueMasks
from mmdet_discobox.engine.hooks.mixed_settings import (
    check_mask_settings,
    check_moves_masks,
    check_switched_pipelines,
)
from mmdet_discobox.structures import PartialMasks

CLASSES = ("one", "two", "three")
LOAD = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="LoadTrueMasks"),
]
#: geometric transforms of mmdet, alone and together
GEOMETRY = dict(
    resize=[dict(type="Resize", scale=(150, 130), keep_ratio=False)],
    flip=[dict(type="RandomFlip", prob=1.0, direction=["horizontal", "vertical", "diagonal"])],
    crop=[dict(type="RandomCrop", crop_size=(50, 60))],
    crop_tight=[dict(type="RandomCrop", crop_size=(50, 60), recompute_bbox=True)],
    iou_crop=[dict(type="MinIoURandomCrop")],
    expand=[dict(type="Expand")],
    pad=[dict(type="Pad", size=(128, 128), pad_val=dict(img=114, masks=0))],
    filtered=[
        dict(type="RandomCrop", crop_size=(40, 40)),
        dict(type="FilterAnnotations", min_gt_bbox_wh=(12, 12), by_mask=True),
    ],
    jitter=[
        dict(type="RandomResize", scale=(120, 120), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type="RandomCrop", crop_size=(96, 96), allow_negative_crop=True),
        dict(type="RandomFlip", prob=0.5),
    ],
)


def mixed(root, chosen, **fields):
    """Write a json in which the chosen annotations keep their mask."""
    dataset = json.loads((root / "masks.json").read_text())
    for annotation in dataset["annotations"]:
        if annotation["id"] in chosen:
            annotation.update(fields)
        else:
            del annotation["segmentation"]
    (root / "mixed.json").write_text(json.dumps(dataset))
    return dataset


def build(root, pipeline=(), **options):
    config = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file="mixed.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=CLASSES),
        pipeline=list(pipeline),
        use_masks=True,
    )
    return DATASETS.build({**config, **options})


@pytest.fixture
def root(tmp_path):
    return write_boxes(tmp_path / "set", num_images=6, empty=1)


def true_of(sample):
    return sample["data_samples"].gt_instances.masks.is_true.tolist()


def test_masks_are_read_where_there_are_some_and_only_if_asked(root):
    mixed(root, {1, 4})
    pack = [*LOAD, dict(type="PackDetInputs")]
    samples = list(build(root, pack))
    assert [true_of(sample) for sample in samples][:4] == [
        [],
        [True, False],
        [False, True],
        [False] * 2,
    ]
    assert samples[1]["data_samples"].gt_instances.masks.masks.shape == (2, 96, 96)
    for sample in build(root, [*LOAD[:2], dict(type="PackDetInputs")], use_masks=False):
        assert "masks" not in sample["data_samples"].gt_instances
    info = build(root, use_masks=False)[1]
    assert all("mask" not in instance for instance in info["instances"])


@pytest.mark.parametrize("name", GEOMETRY)
def test_the_flag_follows_its_object_through_a_transform(root, name):
    """Each class has either masks or none, so that the labels say which flag is right."""
    dataset = json.loads((root / "masks.json").read_text())
    with_mask = {a["id"] for a in dataset["annotations"] if a["category_id"] == 2}
    mixed(root, with_mask)
    data = build(root, [*LOAD, *GEOMETRY[name], dict(type="PackDetInputs")])
    lengths = set()
    for index in [1, 2, 3, 4, 5] * 3:
        sample = data[index]["data_samples"]
        instances = sample.gt_instances
        if "masks" not in instances:  # nothing is left
            continue
        assert isinstance(instances.masks, PartialMasks)
        assert instances.masks.is_true.tolist() == (instances.labels == 1).tolist()
        if not len(instances):
            continue
        assert instances.masks.masks.shape == (len(instances), *sample.img_shape)
        lengths.add(len(instances))
        for mask, box in zip(instances.masks.masks, instances.bboxes.tensor, strict=True):
            rows, cols = np.nonzero(mask)
            if len(rows):  # true masks fill their boxes here, and so do the others' rectangles
                tight = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
                assert np.abs(np.array(tight) - box.numpy()).max() <= 2
    assert 2 in lengths


@pytest.mark.parametrize("name", ["CachedMosaic", "CachedMixUp"])
def test_joined_images_keep_the_flags(root, name):
    dataset = json.loads((root / "masks.json").read_text())
    mixed(root, {a["id"] for a in dataset["annotations"] if a["category_id"] == 2})
    joined = DATASETS.build(
        dict(
            type="MultiImageMixDataset",
            dataset=dict(
                type="CocoBoxDataset",
                data_root=str(root),
                ann_file="mixed.json",
                data_prefix=dict(img="images/"),
                metainfo=dict(classes=CLASSES),
                use_masks=True,
                pipeline=LOAD,
            ),
            pipeline=[
                dict(type=name, img_scale=(96, 96), pad_val=(114.0, 114.0, 114.0), prob=1.0),
                dict(type="PackDetInputs"),
            ],
        )
    )
    seen = set()
    for index in [*range(len(joined))] * 2:  # the first images fill the cache
        instances = joined[index]["data_samples"].gt_instances
        if len(instances):
            assert instances.masks.is_true.tolist() == (instances.labels == 1).tolist()
            seen.add(frozenset(instances.masks.is_true.tolist()))
    assert frozenset((False, True)) in seen


def test_a_true_mask_that_is_cropped_to_nothing_remains_true():
    masks = PartialMasks(np.ones((3, 8, 8), np.uint8), 8, 8, [True, False, True])
    masks.masks[0, :, :4] = 0
    cropped = masks.crop(np.array([0, 0, 4, 8]))
    assert not cropped.masks[0].any()
    assert cropped.is_true.tolist() == [True, False, True]
    assert cropped[[2, 1]].is_true.tolist() == [True, False]
    assert cropped[np.array([False, True, True])].is_true.tolist() == [False, True]
    assert cropped[0].is_true.tolist() == [True]
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 8, 8]], np.float32)
    chosen = masks.crop_and_resize(boxes, (4, 4), np.array([1, 2]), "cpu")
    assert chosen.is_true.tolist() == [False, True]
    with pytest.raises(ValueError, match="Expected a flag for each of the 2 masks but got 1"):
        PartialMasks(np.zeros((2, 8, 8), np.uint8), 8, 8, [True])


def test_a_machines_masks_are_loaded_only_if_asked(root):
    pack = [*LOAD, dict(type="PackDetInputs")]
    for fields in (dict(mask_source="machine"), dict(mask_quality=0.99)):
        mixed(root, {1, 4}, **fields)
        assert not any(any(true_of(sample)) for sample in build(root, pack))
        trusted = build(root, pack, mask_sources=("person", "machine"))
        assert true_of(trusted[1]) == [True, False]


def test_training_reports_bad_masks_once_and_goes_on_with_the_box(root, monkeypatch):
    dataset = mixed(root, {1, 2, 4})
    dataset["annotations"][0]["segmentation"] = [[1, 2]]
    (root / "mixed.json").write_text(json.dumps(dataset))
    pack = [*LOAD, dict(type="PackDetInputs")]
    lines = []
    monkeypatch.setattr(coco_boxes, "print_log", lambda text, logger, level: lines.append(text))
    data = build(root, pack)
    assert len(lines) == 1
    assert "1 masks of" in lines[0]
    assert "annotation 1 (image 1, '1.png')" in lines[0]
    assert true_of(data[1]) == [False, True]
    with pytest.raises(ValueError, match="Expected usable masks, but 1 masks of"):
        build(root, pack, bad_masks="error")
    with pytest.raises(ValueError, match="Expected `bad_masks` to be 'drop' or 'error'"):
        build(root, pack, bad_masks="ignore")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (dict(mask_sources="person"), r"`mask_sources` .* written \('person',\), with the comma"),
        (dict(min_box_iou=1.5), r"`min_box_iou` to be in \[0, 1\] but got 1.5"),
        (dict(min_box_iou=None), r"`min_box_iou` to be in \[0, 1\] but got None"),
    ],
)
def test_settings_out_of_range_are_errors(root, setting, words):
    mixed(root, {1})
    with pytest.raises(ValueError, match=words):
        build(root, [*LOAD, dict(type="PackDetInputs")], **setting)


def test_a_mask_keeps_its_polygons_that_make_sense(root):
    dataset = mixed(root, {1})
    polygons = dataset["annotations"][0]["segmentation"]
    pack = [*LOAD, dict(type="PackDetInputs")]
    whole = build(root, pack, bad_masks="error")[1]["data_samples"].gt_instances.masks
    polygons.append([5, 5, 6, 6])
    (root / "mixed.json").write_text(json.dumps(dataset))
    trimmed = build(root, pack, bad_masks="error")[1]["data_samples"].gt_instances.masks
    assert trimmed.is_true.tolist() == [True, False]
    assert (trimmed.masks == whole.masks).all()


def test_crops_of_boxes_keep_and_repeat_true_masks(root):
    mixed(root, {1, 4})
    crops = dict(
        type="BoxCropDataset",
        dataset=dict(
            type="CocoBoxDataset",
            data_root=str(root),
            ann_file="mixed.json",
            data_prefix=dict(img="images/"),
            metainfo=dict(classes=CLASSES),
            use_masks=True,
        ),
        pipeline=[*LOAD, dict(type="CropBox", size=32), dict(type="PackDetInputs")],
    )
    data = DATASETS.build(crops)
    assert [true_of(sample)[0] for sample in data] == [i in (0, 3) for i in range(10)]
    sample = data[0]["data_samples"].gt_instances
    x1, y1, x2, y2 = sample.bboxes.tensor[0].round().int().tolist()
    inside = np.zeros((32, 32), bool)
    inside[y1:y2, x1:x2] = True
    assert ((sample.masks.masks[0] > 0) == inside).mean() > 0.95  # the mask fills its box
    often = DATASETS.build({**crops, "mask_repeats": 3})
    assert len(often) == 14
    assert sum(true_of(each)[0] for each in often) == 6
    with pytest.raises(ValueError, match="Expected `mask_repeats` to be at least 1"):
        DATASETS.build({**crops, "mask_repeats": 0})


def test_loading_before_boxes_are_transformed():
    assert repr(TRANSFORMS.build(dict(type="LoadTrueMasks"))) == "LoadTrueMasks()"


@pytest.mark.parametrize(
    "transform",
    [
        dict(type="Resize", scale=(150, 130), keep_ratio=False),
        dict(type="RandomFlip", prob=1.0),  # the size stays
        dict(type="RandomCrop", crop_size=(50, 60), allow_negative_crop=True),
        dict(type="Pad", size=(128, 128)),
    ],
)
def test_masks_loaded_after_a_transform_are_refused(root, transform):
    """They would lie elsewhere than the objects, without a word."""
    mixed(root, {1})
    data = build(root, [*LOAD[:2], transform, LOAD[2]])
    with pytest.raises(ValueError, match="right after LoadAnnotations in the pipeline"):
        data[1]


def test_masks_are_not_copied_and_a_line_at_the_border_remains(root):
    """A copy would fill the memory of all pixels of images without a mask."""
    masks = np.zeros((2, 5, 6), np.uint8)
    assert PartialMasks(masks, 5, 6, [True, False]).masks is masks
    instance = dict(bbox=[63.6, 95.7, 65.6, 99.0])
    loaded = LoadTrueMasks()(dict(ori_shape=(96, 64), instances=[instance]))["gt_masks"]
    assert loaded.get_bboxes("hbox").tensor.tolist() == [[63, 95, 64, 96]]


@pytest.mark.parametrize("loads", [False, True])
@pytest.mark.parametrize("true_masks", [False, True])
def test_pipelines_that_hooks_switch_to_are_checked(loads, true_masks):
    def hook(*last):
        own = [*LOAD[:2], *([LOAD[2]] if loads else []), *last]
        return HOOKS.build(dict(type="PipelineSwitchHook", switch_epoch=3, switch_pipeline=own))

    if loads != true_masks:
        message = f"it has {'a' if loads else 'no'} .*, and the model has true_masks={true_masks}"
        with pytest.raises(ValueError, match=message):
            check_switched_pipelines([hook()], true_masks=true_masks)
        return
    check_switched_pipelines([hook(), object()], true_masks=true_masks)
    moving = hook(dict(type="RandomAffine"))
    if not loads:
        check_switched_pipelines([moving], true_masks=False)
        return
    with pytest.raises(ValueError, match="but the pipeline has RandomAffine"):
        check_switched_pipelines([moving], true_masks=True)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    "transform",
    [
        dict(type="Mosaic", img_scale=(96, 96)),
        dict(type="MixUp", img_scale=(96, 96)),
        dict(type="RandomShift"),
        dict(type="RandomApply", transforms=[dict(type="RandomShift")]),
    ],
)
def test_transforms_that_leave_masks_behind_are_refused(root, transform, inside):
    """They are found in the pipeline of the data set and in that of a wrapper."""
    mixed(root, {1})
    config = dict(
        type="CocoBoxDataset", data_root=str(root), ann_file="mixed.json", use_masks=True,
        data_prefix=dict(img="images/"), metainfo=dict(classes=CLASSES), pipeline=LOAD,
    )  # fmt: skip

    def wrapped(last):
        leaf = dict(config, pipeline=[*LOAD, last] if inside else LOAD)
        outer = [] if inside else [last]
        return DATASETS.build(dict(type="MultiImageMixDataset", dataset=leaf, pipeline=outer))

    name = transform.get("transforms", [transform])[-1]["type"]
    with pytest.raises(ValueError, match=f"but the pipeline has {name}. Use CachedMosaic"):
        check_moves_masks(wrapped(transform))
    check_moves_masks(wrapped(dict(type="CachedMosaic", img_scale=(96, 96))))


@pytest.mark.parametrize("true_masks", [False, True])
@pytest.mark.parametrize("use_masks", [False, True])
@pytest.mark.parametrize("loads", [False, True])
def test_mixed_supervision_has_all_its_settings_or_none(root, true_masks, use_masks, loads):
    """One forgotten setting would train without masks."""
    mixed(root, {1})
    data = build(root, LOAD if loads else LOAD[:2], use_masks=use_masks)
    wrapped = ConcatDataset([data])
    if true_masks == use_masks == loads:
        check_mask_settings(wrapped, true_masks=true_masks)
        return
    with pytest.raises(ValueError, match="Expected all three settings") as error:
        check_mask_settings(wrapped, true_masks=true_masks)
    missing = str(error.value).split(" without ", 1)[1]
    assert ("model.true_masks" in missing) == (not true_masks)
    assert ("use_masks=True of" in missing) == (not use_masks)
    assert ("LoadTrueMasks" in missing) == (not loads)


@pytest.mark.parametrize("chosen", [set(), {1}])
def test_a_json_without_masks_is_told(root, monkeypatch, chosen):
    mixed(root, chosen)
    lines = []
    monkeypatch.setattr(coco_boxes, "print_log", lambda text, logger, level: lines.append(text))
    build(root)
    assert ["none of its 10 boxes has a usable mask" in line for line in lines] == [True] * (
        not chosen
    )
