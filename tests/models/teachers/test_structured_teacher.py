from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmdet_discobox.models.teachers import StructuredTeacher, paste_regions
from mmdet_discobox.structures import BoxObjects, MaskProposals

SIDE, RADIUS = 128, 36.0
ALG1 = dict(algorithm="alg1", colour_space="rgb", w1=2.0, zeta=29.0, dilations=(1,))
PAPER = dict(margin=0.0, refiner=ALG1)


def distance():
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    return ((y - 64).square() + (x - 64).square()).sqrt()


def objects(boxes, image_size=(SIDE, SIDE)):
    boxes = torch.as_tensor(boxes, dtype=torch.float).view(-1, 4)
    zeros = torch.zeros(len(boxes), dtype=torch.long)
    return BoxObjects(boxes, zeros, zeros, torch.tensor([image_size], dtype=torch.float), zeros - 1)


def scene():
    """A noisy red disc on noisy green, its box and its mask."""
    torch.manual_seed(0)
    disc = distance() < RADIUS
    colours = torch.where(disc, torch.tensor([200.0, 60, 50])[:, None, None], 0.0)
    colours = torch.where(disc, colours, torch.tensor([70.0, 140, 60])[:, None, None])
    image = (colours + 6 * torch.randn(3, SIDE, SIDE)).clamp(0, 255)
    return image[None], objects([[28.0, 28, 100, 100]]), disc


def stride4(probs):
    return torch.logit(F.avg_pool2d(probs[None, None], 4)[0].clamp(0.05, 0.95))


def run(teacher, logits, objs, image, predicted=None):
    inds = torch.arange(len(objs)) if predicted is None else torch.tensor(predicted)
    return teacher(MaskProposals(logits[inds], inds, objs, 4.0), image)


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


STARTS = {
    "eroded": (lambda d: (d < 30).float(), 0.8),
    "dilated": (lambda d: (d < 41).float(), 0.95),
    "blurred": (lambda d: torch.sigmoid((34 - d) / 6), 0.95),
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_disc_of_another_colour_is_segmented(kind):
    image, objs, disc = scene()
    start = stride4(STARTS[kind][0](distance()))
    result = run(StructuredTeacher(), start, objs, image)
    before = F.interpolate(start.sigmoid()[None], (SIDE, SIDE), mode="bilinear")[0, 0] > 0.5
    after = paste_regions(result.masks, result.regions, (SIDE, SIDE))[0] > 0.5
    assert iou(after, disc) > max(iou(before, disc) + 0.02, STARTS[kind][1])


def test_the_paper_s_setting_keeps_a_full_box():
    image, objs, _ = scene()
    result = run(StructuredTeacher(**PAPER), torch.full((1, 32, 32), 3.0), objs, image)
    assert ((result.masks > 0.5) == result.inside).float().mean() > 0.99


def test_the_prior_is_for_the_foreground_of_the_box_and_not_the_paper_s():
    image, objs, _ = scene()
    start = stride4(STARTS["blurred"][0](distance()))
    none, some, much = (
        run(StructuredTeacher(refiner=dict(prior=prior)), start, objs, image)
        for prior in (0.0, 0.3, 1.0)
    )
    for less, more in ((none, some), (some, much)):
        assert (more.masks >= less.masks - 1e-5).all()
        assert more.masks.sum() > less.masks.sum()
    assert (much.masks[~much.inside] == 0).all()
    paper = (
        run(StructuredTeacher(margin=0.0, refiner=dict(ALG1, prior=p)), start, objs, image)
        for p in (0.0, 1.0)
    )
    torch.testing.assert_close(*(result.masks for result in paper))


def test_the_temperature_of_a_network_does_not_change_its_masks():
    image, objs, _ = scene()
    start = stride4(STARTS["blurred"][0](distance()))
    for kwargs, same in (({}, True), (dict(unary_rms=None), False)):
        teacher = StructuredTeacher(refiner=kwargs)
        calibrated, confident = (run(teacher, t * start, objs, image).masks for t in (1, 4))
        assert torch.allclose(calibrated, confident, atol=1e-4) == same


def test_the_margin_stays_background():
    image, objs, _ = scene()
    result = run(StructuredTeacher(), torch.full((1, 32, 32), 9.0), objs, image)
    assert not result.inside.all()
    assert (result.masks[~result.inside] == 0).all()


def test_tightness_recovers_missed_parts():
    image, objs, disc = scene()
    missed = stride4(((distance() < RADIUS) & (torch.arange(SIDE) < 60)).float())
    with_it, without = (
        run(StructuredTeacher(refiner=dict(tightness=t)), missed, objs, image) for t in (0.5, None)
    )
    scores = [
        iou(paste_regions(r.masks, r.regions, (SIDE, SIDE))[0] > 0.5, disc)
        for r in (with_it, without)
    ]
    assert scores[0] > scores[1] + 0.1


def test_only_predicted_masks_within_the_area_are_valid():
    image, objs, _ = scene()
    objs = objects(objs.boxes.repeat(3, 1))
    logits = torch.full((3, 32, 32), 9.0)
    teacher = StructuredTeacher(refiner=dict(tightness=None), valid_area=(0.05, 1.0))
    empty = torch.cat([logits[:2], -logits[2:]])
    assert run(teacher, empty, objs, image, predicted=[0, 2]).valid.tolist() == [True, False, False]
    teacher = StructuredTeacher(refiner=dict(tightness=None), valid_area=(0.05, 0.1))
    assert not run(teacher, logits, objs, image).valid.any()


def test_no_object():
    image, _, _ = scene()
    for teacher in (StructuredTeacher(), StructuredTeacher(**PAPER)):
        result = run(teacher, torch.zeros(0, 32, 32), objects([]), image)
        assert result.masks.shape == (0, 64, 64)
        assert result.valid.shape == (0,)


BOXES = [[5.0, 5, 6, 6], [9.2, 9.2, 9.4, 60], [0, 0, SIDE, SIDE], [120, 120, 128, 128]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kwargs", [{}, PAPER])
def test_nothing_becomes_nan(dtype, kwargs):
    objs = objects([*BOXES, [7.0, 7, 7, 7]])
    flat = torch.full((1, 3, SIDE, SIDE), 128.0, dtype=dtype)
    logits = torch.linspace(-60, 60, 32 * 32, dtype=dtype).view(1, 32, 32).repeat(5, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = run(StructuredTeacher(**kwargs), logits, objs, flat)
    assert result.masks.dtype == torch.float32
    assert result.masks.isfinite().all()
    assert ((result.masks >= 0) & (result.masks <= 1)).all()


def test_padding_does_not_change_the_masks():
    image, objs, _ = scene()
    start = stride4(STARTS["blurred"][0](distance()))
    small = objects(objs.boxes, image_size=(104, 104))
    padded = image.clone()
    padded[..., 104:, :] = 255
    padded[..., :, 104:] = 0
    black = image.clone()
    black[..., 104:, :] = 0
    black[..., :, 104:] = 0
    first, second = (run(StructuredTeacher(), start, small, i) for i in (padded, black))
    torch.testing.assert_close(first.masks, second.masks, atol=1e-4, rtol=0)


def test_a_batch_is_its_objects_one_by_one():
    image, _, _ = scene()
    torch.manual_seed(1)
    objs, logits = objects(BOXES), torch.randn(4, 32, 32)
    batch = run(StructuredTeacher(), logits, objs, image)
    for n in range(4):
        one = run(StructuredTeacher(), logits[n : n + 1], objects(BOXES[n]), image)
        torch.testing.assert_close(batch.masks[n], one.masks[0])


def test_flipping_flips():
    image, objs, _ = scene()
    torch.manual_seed(1)
    logits = torch.randn(1, 32, 32)
    there = run(StructuredTeacher(), logits, objs, image)
    back = run(StructuredTeacher(), logits.flip(-1), objs, image.flip(-1))
    torch.testing.assert_close(there.masks.flip(-1), back.masks, atol=1e-4, rtol=0)


def test_masks_carry_no_gradient_and_the_schedule_is_saved():
    image, objs, _ = scene()
    teacher = StructuredTeacher()
    result = run(teacher, torch.zeros(1, 32, 32, requires_grad=True), objs, image)
    assert not result.masks.requires_grad
    assert {"running_mil", "consistency_gate.opened"} <= set(teacher.state_dict())


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(refiner=dict(algorithm="hard")), "Expected `algorithm` .* but got 'hard'"),
        (dict(refiner=dict(colour_space="hsv")), "Expected `colour_space` .* but got 'hsv'"),
        (dict(crop_size=2), "Expected `crop_size` to be at least 4 and a multiple of 4 but got 2"),
        (dict(crop_size=30), "Expected `crop_size` to be .* a multiple of 4 but got 30"),
        (dict(refiner=dict(dilations=())), "Expected `dilations`"),
        (dict(margin=-0.7), r"Expected `margin` to be in \[0, inf\) but got -0.7"),
        (dict(valid_area=(0.9, 0.1)), r"Expected `valid_area` to be .* but got \(0.9, 0.1\)"),
        (dict(valid_area=(5, 100)), r"Expected `valid_area` to be .* high <= 1 but got \(5, 100\)"),
        (dict(refiner=dict(unary_rms=0.0)), r"Expected `unary_rms` to be in \(0, inf\) but got 0"),
        (dict(refiner=dict(zeta=0.0)), "Expected `zeta` .* but got 0"),
        (dict(refiner=dict(iterations=-1)), "Expected `iterations` .* but got -1"),
        (dict(refiner=dict(unary_limit=-1.0)), "Expected `unary_limit` .* but got -1"),
        (dict(refiner=dict(fullness=1.0)), r"Expected `fullness` to be in \[0, 1\) but got 1"),
        (dict(refiner=dict(appearance=-1.0)), "Expected `appearance` .* but got -1"),
        (dict(refiner=dict(appearance_bandwidth=0.0)), "Expected `appearance_bandwidth` .* got 0"),
        (dict(refiner=dict(unary_scale=0.0)), "Expected `unary_scale` to be positive but got 0.0"),
    ],
)
def test_rejects(kwargs, match):
    with pytest.raises(ValueError, match=match):
        StructuredTeacher(**kwargs)


#: the boxes of the scene, cut by a crop that ends in the middle of the disc, and their cut sides
HALVES = {
    "left": ([28.0, 28, 64, 100], [False, False, True, False]),
    "right": ([64.0, 28, 100, 100], [True, False, False, False]),
    "top": ([28.0, 28, 100, 64], [False, False, False, True]),
    "bottom": ([28.0, 64, 100, 100], [False, True, False, False]),
}


def cropped(image, box, cut_sides):
    """Objects on an image that is blank beyond the box's cut side, and the image."""
    x1, y1, x2, y2 = (int(v) for v in box)
    image = image.clone()
    for side, part in enumerate(
        (np.s_[..., :x1], np.s_[..., :y1, :], np.s_[..., x2:], np.s_[..., y2:, :])
    ):
        if cut_sides[side]:
            image[part] = 124.0
    return image, dataclasses.replace(objects([box]), cut_sides=torch.tensor([cut_sides]))


def test_no_cut_side_changes_no_bit():
    image, objs, _ = scene()
    start = stride4(STARTS["eroded"][0](distance()))
    none = dataclasses.replace(objs, cut_sides=torch.zeros(1, 4, dtype=torch.bool))
    masks = [run(StructuredTeacher(), start, these, image).masks for these in (objs, none)]
    assert torch.equal(*masks)


def test_an_object_cut_in_half_need_not_fill_its_rows():
    """A disc in the lower rows of what is left of its box: the upper ones had an object elsewhere.

    The box of a larger object is cut along x, and the disc is all that is left of it.
    """
    image, _, disc = scene()
    box = [20.0, 4, 100, 100]  # 24 rows above the disc
    image, objs = cropped(image, box, [False, False, True, False])
    start = torch.where(stride4(disc.float()) > 0, 2.0, -2.0)
    empty = np.s_[8:26, 24:96]
    told, tight = (
        paste_regions(found.masks, found.regions, (SIDE, SIDE))[0]
        for found in (
            run(StructuredTeacher(), start, these, image)
            for these in (objs, dataclasses.replace(objs, cut_sides=None))
        )
    )
    assert told[empty].max() < 0.3
    assert tight[empty].sum() > 2 * told[empty].sum()
    assert iou(told > 0.5, disc & (torch.arange(SIDE) < 100)) > 0.9


@pytest.mark.parametrize("half", HALVES)
def test_colours_beyond_a_cut_do_not_count(half):
    """What a crop was put on changes the cells across the border of the crop alone."""
    image, _, _ = scene()
    box, cut_sides = HALVES[half]
    grey, objs = cropped(image, box, cut_sides)
    start = stride4(STARTS["blurred"][0](distance()))

    def changed(these):
        masks = [run(StructuredTeacher(), start, these, them).masks for them in (grey, image)]
        return float(((masks[0] - masks[1]).abs() > 0.02).float().mean())

    assert changed(objs) < 0.02
    assert changed(dataclasses.replace(objs, cut_sides=None)) > 0.04


def test_cut_sides_are_equivariant_to_a_flip():
    image, _, _ = scene()
    image, objs = cropped(image, *HALVES["left"])
    start = stride4(STARTS["eroded"][0](distance()))
    flipped = dataclasses.replace(
        objs,
        boxes=torch.tensor([[SIDE - 64.0, 28, SIDE - 28, 100]]),
        cut_sides=objs.cut_sides[:, [2, 1, 0, 3]],
    )
    here = run(StructuredTeacher(), start, objs, image).masks
    there = run(StructuredTeacher(), start.flip(-1), flipped, image.flip(-1)).masks
    torch.testing.assert_close(there.flip(-1), here, atol=1e-3, rtol=0)
