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


def test_is_the_difference_of_energies():
    case = random_case()
    found = cross_image_logits(*case)
    for p in range(2):
        for i in range(5):
            expected = naive_energy(*case, p, i, 0) - naive_energy(*case, p, i, 1)
            assert found[p, i].item() == pytest.approx(expected)


def test_scaling_the_plan_changes_nothing():
    plan, similarity, masks = random_case()
    torch.testing.assert_close(
        cross_image_logits(plan, similarity, masks),
        cross_image_logits(plan / 700, similarity, masks),
    )


def test_an_undecided_match_says_nothing_and_labels_are_symmetric():
    plan, similarity, masks = random_case()
    undecided = cross_image_logits(plan, similarity, torch.full_like(masks, 0.5))
    torch.testing.assert_close(undecided, torch.zeros_like(undecided))
    torch.testing.assert_close(
        cross_image_logits(plan, similarity, masks),
        -cross_image_logits(plan, similarity, 1 - masks),
    )


def test_an_empty_row_is_zero():
    plan, similarity, masks = random_case()
    plan[0, 2] = 0
    assert cross_image_logits(plan, similarity, masks)[0, 2] == 0


def test_rejects_other_shapes():
    plan, similarity, masks = random_case()
    with pytest.raises(ValueError, match="target_masks"):
        cross_image_logits(plan, similarity, masks[:, :4])
