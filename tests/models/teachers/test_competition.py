"""Competition of overlapping objects: the formula, who competes, and what it changes."""

from __future__ import annotations

import math
import weakref

import pytest
import torch

from mmdet_discobox.models.teachers import StructuredTeacher, crops, structured_teacher
from mmdet_discobox.models.teachers.competition import rival_logits, shared_area
from mmdet_discobox.models.teachers.crops import resample_grids
from mmdet_discobox.structures import BoxObjects, MaskProposals

BOX = [8.0, 8.0, 40.0, 40.0]
CELLS = 16


def objects(boxes, labels=None, images=None):
    count = len(boxes)
    images = torch.tensor(images or [0] * count)
    return BoxObjects(
        boxes=torch.tensor(boxes),
        labels=torch.tensor(labels or [0] * count),
        image_inds=images,
        image_sizes=torch.full((int(images.max()) + 1, 2), 64.0),
        image_ids=images,
    )


def rivals(objs, masks, **settings):
    return rival_logits(masks, objs.boxes, objs, weight=0.5, **settings)


def test_three_objects_of_one_box_compete_as_in_the_formula():
    masks = torch.rand(3, CELLS, CELLS, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    found = rivals(objects([BOX] * 3), masks)
    odds = (masks.double() / (1 - masks.double())).tolist()
    for a in range(3):
        for r, c in ((0, 0), (3, 9), (15, 15)):
            others = sum(odds[b][r][c] for b in range(3) if b != a)
            assert found[a, r, c].item() == pytest.approx(-0.5 * math.log1p(others), rel=1e-3)


def test_a_rival_is_where_its_box_is():
    """The second box covers the right half of the first; it is full of foreground."""
    right = [24.0, 8.0, 56.0, 40.0]
    masks = torch.stack([torch.full((CELLS, CELLS), 0.5), torch.ones(CELLS, CELLS)])
    first, second = rivals(objects([BOX, right]), masks)
    half = CELLS // 2
    assert not first[:, : half - 1].any()  # the cell at the border of the rival's box is shared
    assert (first[:, half:] <= -0.5 * 9).all()
    assert torch.allclose(second[:, :half], torch.tensor(-0.5 * math.log(2)), atol=1e-3)


@pytest.mark.parametrize(
    "objs",
    [
        objects([BOX, BOX], labels=[0, 1]),
        objects([BOX, BOX], images=[0, 1]),
        objects([BOX, [40.0, 40.0, 60.0, 60.0]]),
        objects([BOX]),
    ],
    ids=["class", "image", "apart", "alone"],
)
def test_others_do_not_compete(objs):
    assert not rivals(objs, torch.full((len(objs), CELLS, CELLS), 0.9)).any()


def test_the_rivals_that_cover_most_of_the_box_count():
    half = [24.0, 8.0, 40.0, 40.0]
    masks = torch.full((3, CELLS, CELLS), 0.9)
    few = rivals(objects([BOX, half, BOX]), masks, rivals=1)
    alone = rivals(objects([BOX, BOX]), masks[:2])
    assert torch.allclose(few[0], alone[0])


def count_samples(monkeypatch):
    """Return a list that gets the samples of RoIAlign for each region of each call."""
    counts, align = [], crops.roi_align

    def counted(maps, rois, size, *args):
        cells = (rois[:, 3:] - rois[:, 1:3]) / torch.tensor(size)
        counts.extend((cells.ceil().prod(1) * size[0] * size[1]).tolist())
        return align(maps, rois, size, *args)

    monkeypatch.setattr(crops, "roi_align", counted)
    return counts


@pytest.mark.parametrize(
    ("side", "label"), [(1.0, 0), (2.0, 0), (3.0, 0), (1.0, 1)], ids=["1", "2", "3", "class"]
)
def test_a_tiny_box_in_a_large_one_takes_few_samples(side, label, monkeypatch):
    """Interpolation would take 79 million for a side of 1 pixel, on a grid of 16 x 16 cells."""
    counts = count_samples(monkeypatch)
    tiny = [100.0, 100.0, 100.0 + side, 100.0 + side]
    objs = objects([[0.0, 0.0, 640.0, 480.0], tiny, tiny, BOX], labels=[0, label, label, 0])
    found = rivals(objs, torch.full((4, CELLS, CELLS), 0.9))
    assert found.isfinite().all()
    assert max(counts) <= 32**2 * CELLS**2


@pytest.mark.parametrize("ratio", [33.0, 64.0])
def test_a_tiny_rival_competes_as_if_interpolated(ratio):
    """RoIAlign extends the 32 cells of a rival by half a cell on each side: 6 % of its area."""
    objs = objects([[0.0, 0.0, 10 * ratio, 10 * ratio], [70.0, 90.0, 80.0, 100.0]])
    masks = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.9
    found = rivals(objs, masks)[0]
    (probs,) = resample_grids(masks[1:], objs.boxes[1:], objs.boxes[:1], 32)
    expected = -0.5 * (probs / (1 - probs)).log1p()
    assert found.min() < -0.05
    torch.testing.assert_close(found, expected, atol=0.003, rtol=0.1)


def test_rivals_of_ordinary_sizes_are_interpolated_to_the_last_bit():
    objs, masks, _image = crowd(20)
    masks = masks.sigmoid()
    shares, inds = (each[:, 0] for each in shared_area(objs).topk(1))
    assert (shares > 0).all()
    probs = resample_grids(masks[inds], objs.boxes[inds], objs.boxes, CELLS)
    odds = torch.logit(probs, eps=1e-6).clamp_max(10.0).exp() * (probs > 0)
    assert torch.equal(rivals(objs, masks, rivals=1), -0.5 * odds.log1p())


def shared_pixels(weight, dtype=torch.float32):
    """Cells of both masks: an image of two colours, and coarse masks that reach too far."""
    image = torch.full((1, 3, 64, 64), 90.0)
    image[..., 24:] = 160.0
    objs = objects([BOX, BOX])
    left = torch.full((16, 16), -3.0)
    left[:, :9] = 3.0
    proposals = MaskProposals(torch.stack([left, left.flip(1)]).to(dtype), torch.arange(2), objs, 4)
    teacher = StructuredTeacher(crop_size=32, competition=weight, refiner=dict(tightness=None))
    masks = teacher(proposals, image).masks
    assert masks.isfinite().all()
    return ((masks > 0.5).sum(0) == 2).sum().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_objects_of_a_class_share_fewer_cells(dtype):
    assert shared_pixels(0.5, dtype) < shared_pixels(0.0, dtype)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"`competition` to be in \[0, inf\) but got -0.25"):
        StructuredTeacher(competition=-0.25)


@pytest.mark.parametrize(("labels", "calls"), [([0, 0], 3), ([0, 1], 1)])
def test_objects_without_rivals_are_refined_once_on_a_cpu(labels, calls, monkeypatch):
    teacher = StructuredTeacher(crop_size=CELLS, competition=0.25)
    objs, refined = objects([BOX, BOX], labels=labels), []
    refine = type(teacher.refiner).__call__
    monkeypatch.setattr(
        type(teacher.refiner), "__call__", lambda *args: refined.append(1) or refine(*args)
    )
    ones = torch.ones(2, dtype=torch.bool)
    teacher.refine_grids(torch.randn(2, CELLS, CELLS), ones, objs, torch.rand(1, 3, 64, 64) * 255)
    assert len(refined) == calls


def crowd(count):
    """Overlapping boxes of two classes, in random order, on an image of noise."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=generator) * 30
    boxes = torch.cat([corners, corners + 12 + torch.rand(count, 2, generator=generator) * 20], 1)
    objs = objects(boxes.tolist(), labels=[i % 2 for i in range(count)])
    coarse = torch.randn(count, CELLS, CELLS, generator=generator)
    return objs, coarse, torch.rand(1, 3, 64, 64, generator=generator) * 255


@pytest.mark.parametrize("chunk_size", [1, 7, 16])
def test_chunks_do_not_influence_the_competition(chunk_size, monkeypatch):
    objs, coarse, image = crowd(50)
    ones = torch.ones(50, dtype=torch.bool)
    teacher = StructuredTeacher(crop_size=CELLS, competition=0.5)

    def refine(size):
        monkeypatch.setattr(structured_teacher, "_CHUNK_SIZE", size)
        return teacher.refine_grids(coarse, ones, objs, image).masks

    assert torch.allclose(refine(chunk_size), refine(50), atol=1e-5)
    alone = StructuredTeacher(crop_size=CELLS).refine_grids(coarse, ones, objs, image).masks
    assert (refine(50) - alone).abs().max() > 0.1


def test_rivals_of_a_part_are_those_of_all_objects():
    objs, masks, _image = crowd(20)
    masks = masks.sigmoid()
    part = slice(5, 12)
    assert torch.allclose(rivals(objs, masks, part=part), rivals(objs, masks)[part], atol=1e-6)


def test_a_crowd_needs_the_inputs_of_one_chunk_at_a_time():
    """The kernels of all objects are never in memory together."""
    objs, coarse, image = crowd(40)
    teacher, alive, most = StructuredTeacher(crop_size=CELLS, competition=0.5), [], []
    prepare = teacher.refiner.prepare

    def counted(*args, **kwargs):
        inputs = prepare(*args, **kwargs)
        alive.append(weakref.ref(inputs.affinity))
        most.append(sum(ref() is not None for ref in alive))
        return inputs

    teacher.refiner.prepare = counted
    teacher.refine_grids(coarse, torch.ones(40, dtype=torch.bool), objs, image)
    assert len(most) == 9  # 3 chunks, alone and in 2 rounds
    assert max(most) <= 2  # the next one is computed before the last is released
