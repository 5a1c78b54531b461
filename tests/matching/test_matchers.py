"""Matchers by name: each against what it is made of, or against its definition in loops."""

from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import cosine_similarity, geometric_votes
from mmdet_discobox.matching.matchers import MATCHERS, build_matcher, scot
from mmdet_discobox.models.teachers import CorrespondenceSolver


def objects(pairs=2, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, pairs, 16, size, size, generator=generator)
    masks = torch.rand(2, pairs, size, size, generator=generator)
    return *features, *masks


@pytest.mark.parametrize("name", MATCHERS)
def test_a_plan_has_rows_to_read(name):
    plans = build_matcher(name)(*objects())
    assert plans.shape == (2, 36, 36)
    assert (plans >= 0).all()
    assert (plans.sum(2) > 0).all()


@pytest.mark.parametrize("name", [name for name in MATCHERS if name != "identity"])
def test_a_planted_permutation_is_found(name):
    source, _, masks, _ = objects(pairs=1)
    target = source.flip(3)
    plan = build_matcher(name)(source, target, torch.ones_like(masks), torch.ones_like(masks))
    mirrored = torch.arange(36).view(6, 6).flip(1).flatten()
    found = (plan[0].argmax(1) == mirrored).float().mean()
    assert found == 1 if name in ("nearest", "transport") else found > 0.5
    assert (
        build_matcher("identity")(source, target, masks, masks)[0].argmax(1) == mirrored
    ).sum() == 0


def test_the_plans_are_the_teachers():
    inputs = objects()
    for name, settings in (("transport", {}), ("icm", dict(reading="plan"))):
        solver = CorrespondenceSolver(iterations=1 if name == "transport" else 5, eps=0.9)
        plan = build_matcher(name, eps=0.9, **settings)(*inputs)
        torch.testing.assert_close(plan, solver(cosine_similarity(*inputs[:2]), *inputs[2:]).plan)


def test_icm_is_read_by_looks_and_votes():
    inputs, size = objects(), 6
    settings = dict(gamma=0.02, eps=0.4)
    plan = CorrespondenceSolver(**settings)(cosine_similarity(*inputs[:2]), *inputs[2:]).plan
    found = build_matcher("icm", **settings)(*inputs)
    source, target = (torch.nn.functional.normalize(x.flatten(2), dim=1) for x in inputs[:2])
    cosines = source.mT @ target
    spread = torch.stack([pair.std(correction=0) for pair in cosines])
    looks = torch.exp(cosines / (0.4 * spread)[:, None, None])
    votes = geometric_votes(plan, size=size, gamma=0.005 * size**2)
    expected = looks * votes
    rows = (x / x.sum(2, keepdim=True) for x in (found, expected))
    torch.testing.assert_close(*rows)


def test_icm_leaves_out_what_is_missing_in_the_target():
    """Half of the source has no partner: the plan must put it somewhere, the reading does not."""
    source, other, *_ = objects(pairs=1, size=8)
    target = torch.cat([source[..., 4:], other[..., 4:]], 3)  # the right half, moved to the left
    ones = torch.ones(1, 8, 8)
    right = torch.arange(64).view(8, 8)[:, 4:].flatten()
    correct = {}
    for reading in ("votes", "plan"):
        plan = build_matcher("icm", reading=reading)(source, target, ones, ones)
        correct[reading] = (plan[0].argmax(1)[right] == right - 4).float().mean()
    assert correct["votes"] == 1
    assert correct["votes"] >= correct["plan"]


def test_scot_as_loops():
    """One Sinkhorn iteration, the root, and the votes of all matches for each offset."""
    size, eps = 3, 0.05
    source, target, source_masks, target_masks = (x.double() for x in objects(1, size))
    cells = range(size**2)
    masses = [
        [next(m for bound, m in ((0.6, 1.0), (0.5, 0.9), (0.4, 0.8), (-1, 0.5)) if p > bound)
         for p in mask.flatten().tolist()]
        for mask in (source_masks, target_masks)
    ]  # fmt: skip
    mu, nu = ([m / sum(mass) for m in mass] for mass in masses)
    f, g = (x[0].flatten(1).T for x in (source, target))
    cosine = [[float(torch.cosine_similarity(f[i], g[j], dim=0)) for j in cells] for i in cells]
    kernel = [[math.exp(-(1 - max(c, 0)) / eps) for c in row] for row in cosine]
    a = [mu[i] / sum(kernel[i]) for i in cells]
    b = [nu[j] / sum(a[i] * kernel[i][j] for i in cells) for j in cells]
    scores = [[math.sqrt(a[i] * kernel[i][j] * b[j] * size**2) for j in cells] for i in cells]
    sigma = 7 / 4 * 2 / math.sqrt(8192) * size

    def offset(i, j):
        return j // size - i // size, j % size - i % size

    expected = torch.zeros(size**2, size**2, dtype=torch.float64)
    for i in cells:
        for k in cells:
            votes = sum(
                math.exp(-(math.dist(offset(i, k), offset(j, m)) ** 2) / (2 * sigma**2))
                * scores[j][m]
                for j in cells
                for m in cells
            )
            expected[i, k] = scores[i][k] * votes
    found = scot(source, target, source_masks, target_masks)[0]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_an_unknown_matcher():
    with pytest.raises(ValueError, match="Expected a matcher of identity, .*, scot but got 'best'"):
        build_matcher("best")
    with pytest.raises(ValueError, match="`reading` to be 'votes' or 'plan' but got 'mean'"):
        build_matcher("icm", reading="mean")(*objects())
