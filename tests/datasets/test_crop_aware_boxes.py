"""Boxes that remember their extent, through mmdet's own transforms."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.datasets.transforms import PackDetInputs, RandomErasing
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks

from mmdet_discobox.datasets import CropAwareBoxes, PackCutSides
from mmdet_discobox.structures import PartialMasks

#: mmdet's clipping transforms, with the name of the argument that disables it
CROPS = {
    "crop": [dict(type="RandomCrop", crop_size=(50, 50), allow_negative_crop=True)],
    "ssd": [
        dict(type="Expand", mean=(0, 0, 0), ratio_range=(1, 2)),
        dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3), min_crop_size=0.3),
        dict(type="Expand", mean=(0, 0, 0), ratio_range=(1, 2)),
    ],
    "affine": [dict(type="RandomAffine", max_rotate_degree=0, max_shear_degree=0)],
    "mosaic": [
        dict(type="Mosaic", img_scale=(60, 60), prob=1.0),
        dict(type="RandomAffine", max_rotate_degree=0, max_shear_degree=0, border=(-30, -30)),
    ],
    "mixup": [dict(type="MixUp", img_scale=(70, 70))],
    "shift": [dict(type="RandomShift", prob=1.0)],
}
CLIPPING = {"RandomCrop", "MinIoURandomCrop", "RandomAffine", "Mosaic", "MixUp"}
BOXES = torch.tensor([[5.0, 8, 40, 60], [30, 20, 90, 50], [45, 30, 60, 70], [2, 3, 95, 76]])


def results(boxes, first=0):
    return dict(
        img=np.zeros((80, 100, 3), np.uint8),
        img_shape=(80, 100),
        gt_bboxes=boxes,
        gt_bboxes_labels=first + np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def run(steps, box_type, seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the transforms draw from it
    start = results(box_type(BOXES))
    start["mix_results"] = [results(box_type(BOXES), 10 * (n + 1)) for n in range(3)]
    if steps[0]["type"] == "MixUp":
        start["mix_results"] = start["mix_results"][:1]
    return Compose([TRANSFORMS.build(copy.deepcopy(step)) for step in steps])(start)


def unclipped(steps):
    return [
        dict(step, bbox_clip_border=False) if step["type"] in CLIPPING else step for step in steps
    ]


def by_label(found):
    boxes = found["gt_bboxes"].tensor
    return dict(zip(found["gt_bboxes_labels"].tolist(), boxes, strict=True))


@pytest.mark.parametrize("kind", CROPS)
def test_sides_are_cut_where_clipping_moves_them(kind):
    """The oracle runs the same transforms on plain boxes, with and without clipping."""
    cut = []
    for seed in range(25):
        steps = [*CROPS[kind], dict(type="RandomFlip", prob=0.5)]
        ours, stock = run(steps, CropAwareBoxes, seed), run(steps, HorizontalBoxes, seed)
        assert torch.equal(ours["gt_bboxes"].tensor, stock["gt_bboxes"].tensor)
        assert type(ours["gt_bboxes"]) is CropAwareBoxes
        free = by_label(run(unclipped(steps), HorizontalBoxes, seed))
        sides = ours["gt_bboxes"].cut_sides()
        for label, box, found in zip(
            ours["gt_bboxes_labels"].tolist(), ours["gt_bboxes"].tensor, sides, strict=True
        ):
            if kind == "shift":  # cannot be told not to clip: touching the border is cutting here
                height, width = ours["img_shape"]
                expected = box == torch.tensor([0.0, 0, width, height])
            else:
                expected = (box - free[label]).abs() > 0.5
            assert found.tolist() == expected.tolist()
            cut.append(found)
    some = torch.stack(cut).any(0)
    assert some.any() if kind == "mixup" else some.all(), "every side was cut at some time"
    assert not torch.stack(cut).all(0).any()


@pytest.mark.parametrize(
    ("direction", "order"),
    [("horizontal", [2, 1, 0, 3]), ("vertical", [0, 3, 2, 1]), ("diagonal", [2, 3, 0, 1])],
)
def test_a_flip_exchanges_cut_sides(direction, order):
    boxes = CropAwareBoxes(BOXES)
    boxes.translate_([-20.0, -10.0])
    boxes.clip_((60, 60))
    before = boxes.cut_sides()
    boxes.flip_((60, 60), direction)
    assert torch.equal(boxes.cut_sides(), before[:, order])
    assert before.any(0).all()


def test_a_side_stays_cut_inside_a_larger_canvas():
    boxes = CropAwareBoxes(BOXES[:1])
    boxes.clip_((80, 30))
    boxes.translate_([50.0, 50.0])
    boxes.rescale_((2.0, 0.5))
    boxes.clip_((200, 200))
    assert boxes.cut_sides().tolist() == [[False, False, True, False]]
    assert boxes.uncut.tolist() == [[110, 29, 180, 55]]


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda boxes: pickle.loads(pickle.dumps(boxes)),
        lambda boxes: boxes.to("cpu"),
        lambda boxes: boxes.clone(),
        lambda boxes: boxes[torch.arange(4)],
        lambda boxes: boxes[:2].cat([boxes[:2], boxes[2:]]),
    ],
    ids=["deepcopy", "pickle", "to", "clone", "index", "cat"],
)
def test_copies_keep_the_extent(copied):
    boxes = CropAwareBoxes(BOXES)
    boxes.clip_((40, 50))
    assert torch.equal(copied(boxes).uncut, BOXES)
    assert torch.equal(copied(boxes).tensor, boxes.tensor)


def test_a_copy_does_not_share_its_extents():
    boxes = CropAwareBoxes(BOXES)
    boxes.clone().flip_((80, 100))
    assert torch.equal(boxes.uncut, BOXES)
    assert torch.equal(boxes.tensor, BOXES)


def test_tolerance_is_a_fraction_of_the_uncut_side():
    boxes = CropAwareBoxes(torch.tensor([[0.0, 0, 100, 40]]))
    boxes.clip_((30, 85))  # 15 % of the width and 25 % of the height
    assert boxes.cut_sides().tolist() == [[False, False, True, True]]
    assert boxes.cut_sides(0.2).tolist() == [[False, False, False, True]]


def test_rounding_is_no_cut():
    boxes = CropAwareBoxes(torch.tensor([[0.0, 0, 100.4, 40]]))
    boxes.clip_((40, 100))
    assert not boxes.cut_sides().any()


def test_boxes_of_cropped_masks_are_tight():
    boxes = CropAwareBoxes(BOXES[:1])
    masks = np.zeros((1, 80, 100), np.uint8)
    masks[0, 8:60, 5:40] = 1
    start = dict(results(boxes), gt_masks=BitmapMasks(masks, 80, 100))
    crop = dict(type="RandomCrop", crop_size=(70, 40), recompute_bbox=True)
    np.random.seed(1)  # noqa: NPY002 - the transform draws from it
    found = TRANSFORMS.build(crop)(start)["gt_bboxes"]
    assert type(found) is CropAwareBoxes
    assert found.areas > 0
    assert not found.cut_sides().any()


def test_recomputed_boxes_of_rectangles_keep_their_cut_sides():
    """A rectangle stands for an object without a true mask: like boxes alone, flips included."""
    masks = np.zeros((len(BOXES), 80, 100), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, BOXES.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    flags = np.array([False, True, False, True])
    steps = [
        dict(type="RandomCrop", crop_size=(40, 50), allow_negative_crop=True),
        dict(type="RandomFlip", prob=1.0, direction="horizontal"),
        dict(type="Resize", scale=(100, 80), keep_ratio=True),
    ]
    cut = 0
    for seed in range(20):
        found = {}
        for recompute in (False, True):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the transforms draw from it
            start = results(CropAwareBoxes(BOXES))
            start["gt_masks"] = PartialMasks(masks, 80, 100, flags)
            first = dict(steps[0], recompute_bbox=recompute)
            pipeline = Compose([TRANSFORMS.build(step) for step in (first, *steps[1:])])
            found[recompute] = pipeline(start)
        clipped, tight = (found[recompute]["gt_bboxes"] for recompute in (False, True))
        assert torch.equal(clipped.tensor, tight.tensor)  # of rectangles, the same
        is_true = torch.from_numpy(found[True]["gt_masks"].is_true)
        assert torch.equal(tight.uncut[~is_true], clipped.uncut[~is_true])
        assert not tight.cut_sides()[is_true].any()
        cut += int(tight.cut_sides().sum())
    assert cut > 20


def test_packs_the_cut_sides_of_valid_boxes():
    boxes = CropAwareBoxes(BOXES)
    boxes.translate_([-20.0, 0.0])  # not clipped: the first and the last reach beyond the image
    start = dict(results(boxes), gt_ignore_flags=np.array([False, True, False, False]))
    packed = PackCutSides(tolerance=0.0)(PackDetInputs()(start))["data_samples"].gt_instances
    assert packed.labels.tolist() == [0, 2, 3]
    assert packed.cut_sides.tolist() == [
        [True, False, False, False],
        [False, False, False, False],
        [True, False, False, False],
    ]


def test_packs_images_without_boxes():
    start = results(CropAwareBoxes(torch.zeros(0, 4)))
    sample = PackCutSides()(PackDetInputs()(start))["data_samples"]
    assert sample.gt_instances.cut_sides.shape == (0, 4)
    assert sample.gt_instances.cut_sides.dtype == torch.bool


def test_other_boxes_are_an_error():
    packed = PackDetInputs()(results(HorizontalBoxes(BOXES)))
    with pytest.raises(ValueError, match=r"got HorizontalBoxes.*box_type='crop_aware'"):
        PackCutSides()(packed)


def test_transforms_that_replace_the_boxes_are_named():
    start = results(CropAwareBoxes(BOXES))
    erased = RandomErasing(n_patches=1, ratio=0.1)(start)
    with pytest.raises(ValueError, match=r"replaces the boxes \(Albu, RandomErasing\)"):
        PackCutSides()(PackDetInputs()(erased))


@pytest.mark.parametrize("tolerance", [-0.1, 1.0])
def test_wrong_tolerance(tolerance):
    with pytest.raises(ValueError, match=r"`tolerance` to be in \[0, 1\)"):
        PackCutSides(tolerance)


def test_type_is_registered():
    assert get_box_type("crop_aware") == ("crop_aware", CropAwareBoxes)
    boxes = CropAwareBoxes(BOXES)
    assert type(boxes.convert_to("hbox")) is HorizontalBoxes
