from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmdet_discobox.functional import cosine_similarity, expand_boxes, marginal_residual
from mmdet_discobox.models.teachers import (
    CorrespondenceSolver,
    CrossImageTerm,
    StructuredTeacher,
    crop_regions,
    structured_teacher,
)
from mmdet_discobox.models.teachers.crops import resample_grids
from mmdet_discobox.structures import BoxObjects, RetrievedObjects

SIZE, CHANNELS = 8, 24
BANK = dict(capacity=4, min_area=0, max_retrieved=2, min_retrieved=1)


def unlike_cells(count, seed=0):
    """Features whose cells all differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, CHANNELS, SIZE, SIZE, generator=generator)


def term(**kwargs):
    return CrossImageTerm(2, CHANNELS, size=SIZE, bank=BANK, **kwargs)


def objects(count, image_id=0, label=0):
    boxes = torch.tensor([[16.0, 16, 80, 80]]).repeat(count, 1)
    zeros = torch.zeros(count, dtype=torch.long)
    sizes = torch.tensor([[96.0, 96.0]])
    return BoxObjects(boxes, zeros + label, zeros, sizes, zeros + image_id)


def half_mask(count=1):
    masks = torch.zeros(count, SIZE, SIZE)
    masks[:, :, : SIZE // 2] = 1
    return masks


@pytest.mark.parametrize("move", [(0, 0), (0, 2), (-1, 1)])
def test_the_solver_finds_a_shift(move):
    source = unlike_cells(1)
    target = torch.roll(source, move, (2, 3))
    full = torch.ones(1, SIZE, SIZE)
    found = CorrespondenceSolver()(cosine_similarity(source, target), full, full)
    cells = torch.arange(SIZE * SIZE).view(SIZE, SIZE)
    # Cell i of the source is cell i + move of the target; those rolled around the edge may differ.
    expected = torch.roll(cells, (-move[0], -move[1]), (0, 1))
    inner = slice(2, SIZE - 2)
    modes = found.plan.argmax(2).view(SIZE, SIZE)
    torch.testing.assert_close(modes[inner, inner], expected[inner, inner])
    mass = full.flatten(1)
    assert marginal_residual(found.plan, mass, mass).max() < 1e-3


def test_eps_scales_with_the_spread_of_the_cosines():
    cosines = torch.rand(3, 49, 49) * torch.tensor([1.0, 0.3, 0.0])[:, None, None]
    wide, narrow, none = CorrespondenceSolver(eps=2.0).scaled_eps(cosines).tolist()
    assert wide == pytest.approx(2 / 12**0.5, rel=0.05)  # twice the deviation of what is uniform
    assert narrow == pytest.approx(0.3 * wide, rel=0.05)
    assert none == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gamma", 0.0),
        ("eps", 0),
        ("iterations", 0),
        ("sinkhorn_iterations", 0),
        ("background", -1.0),
    ],
)
def test_settings_of_the_solver_out_of_range_are_errors(name, wrong):
    with pytest.raises(ValueError, match=rf"Expected `{name}` to be in .* but got {wrong}\."):
        CorrespondenceSolver(**{name: wrong})


def test_objects_without_features_have_a_plan():
    nothing, full = torch.zeros(2, CHANNELS, SIZE, SIZE), torch.ones(2, SIZE, SIZE)
    found = CorrespondenceSolver()(cosine_similarity(nothing, nothing), full, full)
    assert found.plan.isfinite().all()
    torch.testing.assert_close(found.plan.sum((1, 2)), torch.ones(2))


def fill_term(cross, features, masks, image_id=9):
    known = torch.ones(len(features), dtype=torch.bool)
    cross.update_bank(features, masks, objects(len(features), image_id), known)


def matched(cross, features, masks, retrieved):
    return cross.match(cross.similarity(features, retrieved.rows), masks, retrieved)


@pytest.mark.parametrize("balanced", [True, False])
def test_logits_transfer_the_masks_of_correct_matches(balanced):
    cross = term(w2=1.0, balanced=balanced)
    features = unlike_cells(1)
    cross.update_bank(
        features.repeat(2, 1, 1, 1), half_mask(2), objects(2, image_id=5), torch.ones(2) > 0
    )
    retrieved = cross.retrieve(objects(1))
    assert retrieved.valid.all()
    own = half_mask() if balanced else torch.ones(1, SIZE, SIZE)
    votes = cross.logits(matched(cross, features, own, retrieved), own, retrieved)
    assert (votes[0, :, : SIZE // 2] > 0.5).all()
    assert (votes[0, :, SIZE // 2 :] < -0.5).all()


def test_logits_are_zero_without_retrieved_objects():
    cross = term()
    retrieved = cross.retrieve(objects(3))
    own = half_mask(3)
    votes = cross.logits(matched(cross, unlike_cells(3), own, retrieved), own, retrieved)
    assert (votes == 0).all()


def test_logits_are_averaged_over_valid_objects():
    cross = term(w2=2.0)
    features = unlike_cells(1)
    fill_term(cross, features, half_mask())
    empty = len(cross.bank.features) - 1  # the row of no object
    masks = half_mask()[:, None].repeat(1, 2, 1, 1)
    one = RetrievedObjects(torch.tensor([[0, empty]]), masks, torch.tensor([[True, False]]))
    two = RetrievedObjects(torch.tensor([[0, 0]]), masks, torch.tensor([[True, True]]))
    own = half_mask()
    votes = [cross.logits(matched(cross, features, own, r), own, r) for r in (one, two)]
    torch.testing.assert_close(*votes)


def test_roi_features_are_those_of_the_box():
    ramp = torch.arange(24.0).expand(1, 1, 24, 24)  # of a level at stride 4
    cross = CrossImageTerm(1, 1, size=4, level=1, bank=BANK)
    features = cross.roi_features([None, ramp], objects(1), width=96)
    # The box covers columns 4 to 20 of the level; cell centres at 6, 10, 14, 18, pixels at +0.5.
    torch.testing.assert_close(features[0, 0, 0], torch.tensor([5.5, 9.5, 13.5, 17.5]))


@pytest.mark.parametrize("level", [1, -1])
def test_the_neck_must_have_the_level(level):
    with pytest.raises(ValueError, match=rf"`cross_image.level` .* the 1 outputs .* got {level}"):
        term(level=level).roi_features([torch.zeros(1, CHANNELS, 4, 4)], objects(1), width=96)


def test_resampling_is_exact_for_ramps():
    outer, inner = torch.tensor([[0.0, 0, 80, 80]]), torch.tensor([[20.0, 20, 60, 60]])
    ramp = ((torch.arange(8.0) + 0.5) / 8).expand(1, 8, 8)
    found = resample_grids(ramp, outer, inner, 4)
    torch.testing.assert_close(found[0, 0], 0.25 + 0.5 * (torch.arange(4.0) + 0.5) / 4)


def teacher(**kwargs):
    config = dict(type="CrossImageTerm", num_classes=2, channels=CHANNELS, size=SIZE, bank=BANK)
    return StructuredTeacher(crop_size=32, cross_image={**config, **kwargs})


def run(refiner, features, objs, logits=None):
    logits = torch.zeros(len(objs), 24, 24) if logits is None else logits
    generator = torch.Generator().manual_seed(3)
    image = 255 * torch.rand(1, 3, 96, 96, generator=generator)
    regions = expand_boxes(objs.boxes, refiner.margin) / 4
    coarse = crop_regions(logits[:, None], regions, torch.arange(len(objs)), refiner.crop_size)
    predicted = torch.ones(len(objs), dtype=torch.bool)
    return refiner.refine_grids(coarse[:, 0], predicted, objs, image, roi_features=features)


def fill(refiner, features, masks, image_id=9):
    fill_term(refiner.cross_image, features, masks, image_id)


def test_matches_of_the_bank_decide_an_undecided_mask():
    refiner = teacher(w2=3.0)
    features = unlike_cells(1)
    fill(refiner, features.repeat(2, 1, 1, 1), half_mask(2))
    masks = run(refiner, features, objects(1)).masks
    small = F.adaptive_avg_pool2d(masks, 8)[0]
    assert small[2:6, 2:3].mean() > 0.8
    assert small[2:6, 5:6].mean() < 0.2


def test_pairs_point_at_their_objects():
    refiner = teacher()
    fill(refiner, unlike_cells(3), half_mask(3))
    pairs = run(refiner, unlike_cells(2, seed=1), objects(2)).pairs
    assert pairs.rows.shape == (2, 2)
    assert pairs.source_masks.shape == (4, SIZE, SIZE)
    similarity = refiner.similarity(unlike_cells(2, seed=1), pairs)
    assert similarity.shape == pairs.correspondences.plan.shape
    assert pairs.valid.all()
    assert pairs.correspondences.plan.shape == (4, SIZE**2, SIZE**2)
    assert not run(refiner, unlike_cells(2), objects(2, image_id=9)).pairs.valid.any()


def test_a_closed_gate_or_no_features_give_no_pairs():
    refiner = teacher()
    fill(refiner, unlike_cells(3), half_mask(3))
    assert run(refiner, None, objects(2)).pairs is None
    refiner.cross_image.gate.set(False)
    assert run(refiner, unlike_cells(2), objects(2)).pairs is None


def test_an_object_without_a_valid_mask_has_no_valid_pair():
    refiner = teacher()
    refiner.valid_area = (0.99, 1.0)
    fill(refiner, unlike_cells(3), half_mask(3))
    result = run(refiner, unlike_cells(1), objects(1), torch.full((1, 24, 24), -20.0))
    assert not result.valid.any()
    assert not result.pairs.valid.any()


def test_no_object():
    result = run(teacher(), unlike_cells(0), objects(0))
    assert result.masks.shape == (0, 32, 32)
    assert len(result.pairs.correspondences) == 0


def test_the_bank_stores_the_refined_mask_of_the_box():
    refiner = teacher()
    features, objs = unlike_cells(1), objects(1, image_id=4)
    pseudo = run(refiner, features, objs, torch.full((1, 24, 24), 20.0))
    refiner.update_bank(pseudo, objs)
    bank = refiner.cross_image.bank
    assert bank.counts.tolist() == [1, 0]
    assert bank.image_ids[0] == 4
    unit = F.normalize(features[0], dim=0)
    torch.testing.assert_close(bank.features[0].float(), unit, atol=2e-3, rtol=2e-3)
    expected = resample_grids(pseudo.masks, pseudo.regions, objs.boxes, SIZE)[0]
    torch.testing.assert_close(bank.masks[0].float(), expected, atol=1e-3, rtol=1e-3)


def test_rejects():
    with pytest.raises(ValueError, match="Expected `alternations` to be at least 1 but got 0"):
        term(alternations=0)


def test_the_chunk_size_does_not_change_the_result(monkeypatch):
    refiner, features, objs = teacher(), unlike_cells(5), objects(5)
    fill(refiner, unlike_cells(4, seed=1), half_mask(4))
    logits = torch.randn(5, 24, 24, generator=torch.Generator().manual_seed(4))
    found = []
    for chunk_size in (16, 2):
        monkeypatch.setattr(structured_teacher, "_CHUNK_SIZE", chunk_size)
        found.append(run(refiner, features, objs, logits))
    whole, parts = found
    for name in ("masks", "inside", "regions", "valid"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    for name in ("rows", "source_masks", "valid"):
        torch.testing.assert_close(getattr(parts.pairs, name), getattr(whole.pairs, name))
    for name in ("plan", "similarity"):
        mine, theirs = (getattr(x.pairs.correspondences, name) for x in found)
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    assert len(whole.pairs.valid) == 5 * BANK["max_retrieved"]
    assert whole.pairs.valid.any()
