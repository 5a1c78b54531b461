"""``ObjectBank`` as an answer: the candidates, the random choice and its state in a checkpoint."""

from __future__ import annotations

import pytest
import torch
from banks import CAPACITY, SIZE, bank_of, names_in, numbers, objects, random_batch, saved


def test_a_query_never_meets_its_own_image():
    bank = bank_of()
    bank.push(**objects([1, 2, 3, 4], [0] * 4, image_ids=[7, 8, 7, -1]))
    assert sorted(names_in(bank, 0, image_id=7)) == [2, 4]
    assert sorted(names_in(bank, 0, image_id=8)) == [1, 3, 4]
    assert sorted(names_in(bank, 0, image_id=-1)) == [1, 2, 3, 4]


def test_none_below_the_minimum():
    bank = bank_of(min_retrieved=3, max_retrieved=3)
    bank.push(**objects([1, 2, 3, 4], [0] * 4, image_ids=[7, 7, 8, 9]))
    assert len(names_in(bank, 0, image_id=8)) == 3
    assert names_in(bank, 0, image_id=7) == []


def test_each_query_has_its_own_answer_and_valid_ones_come_first():
    bank = bank_of(min_retrieved=2)
    bank.push(**objects([1, 2, 3, 4, 5], [0, 0, 0, 1, 2]))
    found = bank.retrieve(torch.tensor([0, 1, 0, 2]), torch.tensor([9, 9, 1, 9]))
    assert found.rows.shape == (4, CAPACITY)
    assert found.masks.shape == (4, CAPACITY, SIZE, SIZE)
    assert found.masks.dtype == torch.float32
    assert found.valid.sum(1).tolist() == [3, 0, 2, 0]
    assert found.valid.int().diff(dim=1).max() <= 0
    assert not bank.features[found.rows[~found.valid]].any()
    assert not found.masks[~found.valid].any()


def test_the_choice_is_spread_evenly_and_without_replacement():
    bank = bank_of(capacity=20, max_retrieved=5)
    bank.push(**objects(list(range(1, 25)), [0] * 24))  # 5 ... 24 stay
    found = bank.retrieve(torch.zeros(1000).long(), torch.full((1000,), 24))
    names = numbers(found).long()
    assert found.valid.all()
    assert all(len(set(row)) == 5 for row in names.tolist())
    counts = names.flatten().bincount(minlength=25)
    assert not counts[:5].any()
    assert counts[24] == 0
    share = 5 / 19
    deviation = (1000 * share * (1 - share)) ** 0.5
    assert (counts[5:24] - 1000 * share).abs().max() < 4 * deviation
    # neither does a candidate favour a place in the answer
    first = names[:, 0].bincount(minlength=25)[5:24]
    assert (first - 1000 / 19).abs().max() < 4 * (1000 / 19 * 18 / 19) ** 0.5


def choices(bank, calls=3):
    labels, image_ids = torch.zeros(6).long(), torch.arange(6)
    answers = []
    for _ in range(calls):
        answers.append(numbers(bank.retrieve(labels, image_ids)).tolist())
        bank.push(**objects([], []))
    return answers


def filled(**changes):
    bank = bank_of(capacity=20, max_retrieved=5, **changes)
    bank.push(**objects(list(range(1, 21)), [0] * 20))
    return bank


def test_the_choice_follows_the_seed():
    assert choices(filled(seed=3)) == choices(filled(seed=3))
    assert choices(filled(seed=3)) != choices(filled(seed=4))
    first, second, third = choices(filled())
    assert first != second != third != first
    assert len({tuple(row) for row in first}) == 6


def test_asking_changes_nothing():
    bank = filled()
    before = {key: value.clone() for key, value in bank.state_dict().items()}
    labels, image_ids = torch.zeros(6).long(), torch.arange(6)
    first, second = (bank.retrieve(labels, image_ids) for _ in range(2))
    assert torch.equal(first.rows, second.rows)
    assert all(torch.equal(value, before[key]) for key, value in bank.state_dict().items())


def test_the_generator_of_torch_is_left_alone():
    before = torch.get_rng_state()
    choices(filled())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    one = choices(filled())
    torch.manual_seed(2)
    assert choices(filled()) == one


def test_a_restored_bank_continues_exactly():
    bank = filled()
    choices(bank)
    state = saved(bank)
    assert set(state) == {"features", "masks", "image_ids", "counts", "random_state"}
    restored = bank_of(capacity=20, max_retrieved=5, seed=99)
    restored.load_state_dict(state)
    generator = torch.Generator().manual_seed(0)
    for first in (100, 200, 300):
        batch = random_batch(generator, first)
        for one in (bank, restored):
            one.push(**batch)
        assert choices(bank) == choices(restored)
    for name, value in bank.state_dict().items():
        assert torch.equal(value, restored.state_dict()[name]), name


def test_queries_of_wrong_shapes():
    with pytest.raises(ValueError, match=r"Expected `image_ids` of shape \(G\) with G = 2"):
        bank_of().retrieve(torch.zeros(2).long(), torch.zeros(3).long())
