from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import cross_image_logits


def random_case(seed=0, pairs=2, cells=5, others=6):
    generator = torch.Generator().manual_seed(seed)
    plan = torch.rand(pairs, cells, others, generator=generator, dtype=torch.float64)
    similarity = 2 * torch.rand(pairs, cells, others, generator=generator).double() - 0.5
    masks = torch.rand(pairs, others, generator=generator, dtype=torch.float64)
    return plan, similarity, masks


def naive_energy(plan, similarity, masks, pair, cell, label):
    """Expected ``-sum_k T C [x_i = x_k]`` of one cell under the rows of the plan."""
    total = sum(float(t) for t in plan[pair, cell])
    energy = 0.0
    for k in range(plan.shape[2]):
        agree = float(masks[pair, k]) if label else 1 - float(masks[pair, k])
        weight = float(plan[pair, cell, k]) / total
        energy -= weight * max(float(similarity[pair, cell, k]), 0.0) * agree
    return energy


def test_equals_the_difference_of_energies():
    case = random_case()
    found = cross_image_logits(*case)
    for p in range(2):
        for i in range(5):
            expected = naive_energy(*case, p, i, 0) - naive_energy(*case, p, i, 1)
            assert found[p, i].item() == pytest.approx(expected)


def test_invariant_to_the_scale_of_the_plan():
    plan, similarity, masks = random_case()
    torch.testing.assert_close(
        cross_image_logits(plan, similarity, masks),
        cross_image_logits(plan / 700, similarity, masks),
    )


def test_undecided_matches_have_no_vote_and_labels_are_symmetric():
    plan, similarity, masks = random_case()
    undecided = cross_image_logits(plan, similarity, torch.full_like(masks, 0.5))
    torch.testing.assert_close(undecided, torch.zeros_like(undecided))
    torch.testing.assert_close(
        cross_image_logits(plan, similarity, masks),
        -cross_image_logits(plan, similarity, 1 - masks),
    )


def test_balanced_votes_have_the_mean_of_the_source_mask():
    plan, similarity, masks = random_case()
    own = torch.rand(2, 5, dtype=torch.float64)
    plain = cross_image_logits(plan, similarity, masks)
    found = cross_image_logits(plan, similarity, masks, own)
    shift = found - plain
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))  # the same for all cells
    for p in range(2):
        strength = 0.0
        for i in range(5):
            total = sum(float(t) for t in plan[p, i])
            for k in range(6):
                strength += float(plan[p, i, k]) / total * max(float(similarity[p, i, k]), 0) / 5
        favour = 2 * sum(float(m) for m in own[p]) / 5 - 1
        assert found[p].mean().item() == pytest.approx(strength * favour)


def test_balanced_votes_of_uninformative_matches_follow_the_source_mask():
    plan, similarity, masks = (torch.ones_like(x) for x in random_case())
    own = torch.rand(2, 5, dtype=torch.float64)
    for full in (0.0, 1.0):  # whatever the matched masks are
        found = cross_image_logits(plan, similarity, full * masks, own)
        expected = (2 * own.mean(1, keepdim=True) - 1).expand_as(found)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("largest", [1.0, 1.7])
def test_votes_reach_but_do_not_exceed_the_bounds(largest):
    plan, similarity, masks = random_case(pairs=50)
    similarity = similarity / similarity.max() * largest
    own = torch.rand(50, 5, dtype=torch.float64)
    assert cross_image_logits(plan, similarity, masks).abs().max() <= largest
    assert cross_image_logits(plan, similarity, masks, own).abs().max() <= 3 * largest
    # each cell has its own match, of which one is foreground, and the own mask is full
    cells = 49
    plan, full = torch.eye(cells)[None], torch.ones(1, cells)
    one = torch.zeros(1, cells)
    one[0, 0] = 1
    similarity = largest * torch.ones(1, cells, cells)
    assert cross_image_logits(plan, similarity, one).abs().max() == pytest.approx(largest)
    balanced = cross_image_logits(plan, similarity, one, full)
    assert balanced.max().item() == pytest.approx((3 - 2 / cells) * largest)


def test_an_empty_row_is_zero():
    plan, similarity, masks = random_case()
    plan[0, 2] = 0
    assert cross_image_logits(plan, similarity, masks)[0, 2] == 0


def test_rejects_other_shapes():
    plan, similarity, masks = random_case()
    with pytest.raises(ValueError, match="target_masks"):
        cross_image_logits(plan, similarity, masks[:, :4])
    with pytest.raises(ValueError, match="source_masks"):
        cross_image_logits(plan, similarity, masks, masks)
