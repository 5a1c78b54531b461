"""Images with true masks appear more often."""

from __future__ import annotations

import json
import logging
from collections import Counter
from types import SimpleNamespace

import pytest
from mmdet.registry import DATASETS, HOOKS
from tiny import write_boxes

from mmdet_discobox.datasets import mask_balance

CLASSES = ("one", "two", "three")
LOAD = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="LoadTrueMasks"),
]
PACK = dict(type="PackDetInputs")


@pytest.fixture
def root(tmp_path):
    return write_boxes(tmp_path / "set", num_images=10, empty=1)


def config(root, chosen, pipeline=(*LOAD, PACK), *, use_masks=True, **options):
    """Return the config of a data set in which these annotations have a mask."""
    dataset = json.loads((root / "masks.json").read_text())
    for annotation in dataset["annotations"]:
        if annotation["id"] not in chosen:
            del annotation["segmentation"]
    (root / "mixed.json").write_text(json.dumps(dataset))
    inner = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file="mixed.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=CLASSES),
        pipeline=list(pipeline),
        use_masks=use_masks,
    )
    return dict(type="MaskBalancedDataset", dataset=inner, **options)


def wrapped(*args, **kwargs):
    return DATASETS.build(config(*args, **kwargs))


def times(data):
    return Counter(data.get_data_info(index)["img_id"] for index in range(len(data)))


@pytest.mark.parametrize(
    ("chosen", "threshold", "repeats"),
    [
        ({1}, 0.5, 3),  # 1 of 10 images: ceil(sqrt(5))
        ({1, 2}, 0.5, 3),  # both objects of one image
        ({1, 3, 5}, 0.5, 2),  # 3 of 10: ceil(sqrt(5 / 3))
        ({1, 3, 5, 7, 9}, 0.5, 1),
        ({1}, 1.0, 4),
        ({1}, 0.0, 1),
    ],
)
def test_the_repeats_are_those_of_the_formula(root, chosen, threshold, repeats):
    data = wrapped(root, chosen, oversample_thr=threshold)
    with_mask = {1 + (value - 1) // 2 for value in chosen}  # two objects per image after the empty
    assert times(data) == {index: repeats if index in with_mask else 1 for index in range(10)}
    assert len(data) == 10 + (repeats - 1) * len(with_mask)


def test_without_masks_every_image_appears_once_and_this_is_told(root, monkeypatch):
    lines = []
    monkeypatch.setattr(mask_balance, "print_log", lambda text, logger, level: lines.append(text))
    assert len(wrapped(root, set())) == 10
    assert len(wrapped(root, {1}, use_masks=False, pipeline=[*LOAD[:2], PACK])) == 10
    assert ["None of 10 images has a true mask" in line for line in lines] == [True, True]


def test_the_samples_are_those_of_the_data_set(root):
    data = wrapped(root, {1})
    flags = [sample["data_samples"].gt_instances.masks.is_true.tolist() for sample in data]
    assert flags.count([True, False]) == 3
    assert data.metainfo["classes"] == CLASSES


def test_mosaics_mix_the_repeated_images(root):
    mosaic = DATASETS.build(
        dict(
            type="MultiImageMixDataset",
            dataset=config(root, {1}, pipeline=LOAD),
            pipeline=[dict(type="CachedMosaic", img_scale=(96, 96), pad_val=114.0), PACK],
        )
    )
    assert len(mosaic) == 12
    assert all("inputs" in mosaic[index] for index in range(12))


def test_a_hook_switches_the_pipeline_of_the_data_set_inside(root):
    data = wrapped(root, {1})
    runner = SimpleNamespace(
        epoch=1, logger=logging.getLogger(), train_dataloader=SimpleNamespace(dataset=data)
    )
    smaller = [*LOAD, dict(type="Resize", scale=(48, 48), keep_ratio=True), PACK]
    hook = HOOKS.build(dict(type="PipelineSwitchHook", switch_epoch=1, switch_pipeline=smaller))
    assert data[0]["inputs"].shape[1:] == (96, 96)
    hook.before_train_epoch(runner)
    assert data[0]["inputs"].shape[1:] == (48, 48)


def test_a_threshold_is_a_fraction(root):
    with pytest.raises(ValueError, match=r"`oversample_thr` to be in \[0, 1\] but got 2"):
        wrapped(root, {1}, oversample_thr=2)
