"""``ObjectBank`` as a store: queues of Python as the oracle, refusals, sizes and types."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from banks import CAPACITY, CHANNELS, CLASSES, SIZE, bank_of, names_in, objects, random_batch, saved

from mmdet_discobox.functional import cosine_similarity
from mmdet_discobox.structures import ObjectBank


@pytest.mark.parametrize("seed", range(8))
def test_it_is_a_queue_for_each_class(seed):
    generator = torch.Generator().manual_seed(seed)
    bank = bank_of()
    queues = [deque(maxlen=CAPACITY) for _ in range(CLASSES)]
    first = 1
    for _ in range(15):
        batch = random_batch(generator, first)
        bank.push(**batch)
        for i, label in enumerate(batch["labels"].tolist()):
            if batch["areas"][i] >= 32 * 32 and batch["valid"][i]:
                queues[label].append((first + i, int(batch["image_ids"][i])))
        first += len(batch["labels"])
        for label, queue in enumerate(queues):
            for image_id in (-1, 0, 3):
                expected = [name for name, image in queue if image != image_id]
                assert sorted(names_in(bank, label, image_id)) == sorted(expected)


def test_objects_one_by_one_are_objects_at_once():
    batch = objects(list(range(1, 14)), [0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 1, 0, 2])
    together, apart = bank_of(), bank_of()
    together.push(**batch)
    for i in range(13):
        apart.push(**{name: value[i : i + 1] for name, value in batch.items()})
    for name in contents(together):
        assert torch.equal(contents(together)[name], contents(apart)[name]), name


def contents(bank):
    """The state without the counter of pushes that the random choice follows."""
    return {name: value for name, value in bank.state_dict().items() if name != "random_state"}


def test_a_cleared_bank_is_an_empty_one():
    bank = bank_of()
    bank.push(**objects([1, 2, 3, 4, 5], [0, 0, 1, 0, 2]))
    bank.clear()
    assert [names_in(bank, label) for label in range(CLASSES)] == [[]] * CLASSES
    bank.push(**objects([6, 7], [0, 2]))
    assert [names_in(bank, label) for label in range(CLASSES)] == [[6], [], [7]]


def test_no_row_is_written_twice():
    # on a GPU the order of two writes to a row is not defined; the CPU would hide it
    bank = bank_of()
    rows = bank._assign_rows(torch.zeros(11).long(), torch.ones(11).bool()).tolist()
    assert rows[:-CAPACITY] == [CLASSES * CAPACITY] * 7
    assert sorted(rows[-CAPACITY:]) == list(range(CAPACITY))


def test_the_oldest_leaves_first():
    bank = bank_of()
    for name in range(1, 11):
        bank.push(**objects([name], [1]))
        assert sorted(names_in(bank, 1)) == list(range(max(1, name - CAPACITY + 1), name + 1))
    assert names_in(bank, 0) == []


def test_refused_objects_leave_no_trace():
    bank = bank_of()
    bank.push(**objects([1, 2], [0, 2]))
    before = saved(bank)
    batch = objects(
        [3, 4, 5], [0, 0, 2], areas=[1023.0, 1024.0, 9999.0], valid=[True, False, False]
    )
    batch["features"] = batch["features"] * torch.tensor([float("nan"), 1, 1]).view(-1, 1, 1, 1)
    bank.push(**batch)
    for name, value in contents(bank).items():
        assert torch.equal(value, before[name]), name


def test_the_smallest_area_is_an_argument():
    bank = bank_of(min_area=100)
    bank.push(**objects([1, 2], [0, 0], areas=[99.0, 100.0]))
    assert names_in(bank, 0) == [2]


def test_the_bank_of_coco_has_202_megabytes():
    with torch.device("meta"):
        bank = ObjectBank(80)
    # 8001 rows of 256 x 49 features and 49 mask cells of 2 bytes and an id of 8; counts and counter
    assert bank.num_bytes == 8001 * (257 * 49 * 2 + 8) + 80 * 8 + 8 == 201_577_842
    assert bank.num_bytes <= 250e6
    assert sum(b.numel() * b.element_size() for b in bank.state_dict().values()) == bank.num_bytes


def test_nothing_waits_for_the_device():
    # tensors without data: whatever needs a value on the host fails
    with torch.device("meta"):
        bank = bank_of()
    batch = {name: value.to("meta") for name, value in objects([1, 2], [0, 1]).items()}
    bank.push(**batch)
    found = bank.retrieve(batch["labels"], batch["image_ids"])
    assert found.rows.shape == (2, CAPACITY)
    similarity = bank.similarity(batch["features"], found.rows)
    assert similarity.shape == (2, CAPACITY, SIZE**2, SIZE**2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", torch.float64])
def test_features_that_are_huge_or_nan_are_stored_as_finite_unit_vectors(dtype):
    bank = bank_of(dtype=dtype)
    inf, nan = float("inf"), float("nan")
    batch = objects([1], [0])
    values = torch.tensor([inf, -inf, nan, 3.4e38, -3.4e38, 1e-30, 0.25, -3.0, 0.0]).view(3, 3)
    batch["features"] = torch.stack([values, values.new_zeros(3, 3)])[None]
    bank.push(**batch)
    (row,) = bank.retrieve(torch.tensor([0]), torch.tensor([-1])).rows[0, :1]
    expected = torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0]).view(3, 3)
    assert torch.allclose(bank.features[row, 0].float(), expected)
    assert not bank.features[row, 1].any()


def test_similarities_are_the_cosines_of_queries_and_objects():
    bank, generator = bank_of(dtype="float32"), torch.Generator().manual_seed(0)
    batch = objects([1, 2, 3], [0, 0, 1])
    batch["features"] = torch.randn(3, CHANNELS, SIZE, SIZE, generator=generator)
    bank.push(**batch)
    queries = torch.randn(2, CHANNELS, SIZE, SIZE, generator=generator, requires_grad=True)
    found = bank.retrieve(torch.tensor([0, 1]), torch.tensor([-1, -1]))
    similarity = bank.similarity(queries, found.rows)
    for query in range(2):
        for place in range(CAPACITY):
            if not found.valid[query, place]:
                assert not similarity[query, place].any()
                continue
            stored = batch["features"][int(found.masks[query, place, 0, 0] * 1024) - 1]
            expected = cosine_similarity(queries[query : query + 1], stored[None])[0]
            torch.testing.assert_close(similarity[query, place], expected)
    similarity.sum().backward()
    assert queries.grad.abs().sum() > 0


def test_a_loaded_bank_is_equal_to_the_last_bit():
    bank, loaded = bank_of(), bank_of()
    batch = objects([1, 2], [0, 0])
    batch["features"] = torch.randn(2, CHANNELS, SIZE, SIZE)
    bank.push(**batch)
    loaded.load_state_dict(dict(saved(bank)))  # without the metadata of torch
    assert torch.equal(loaded.features, bank.features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_any_floating_type_are_taken(dtype):
    bank = bank_of()
    batch = objects([1, 2], [0, 0])
    batch.update(features=batch["features"].to(dtype), masks=batch["masks"].to(dtype))
    bank.push(**batch)
    assert sorted(names_in(bank, 0)) == [1, 2]
    assert bank.features.dtype == torch.float16


def test_no_objects():
    bank = bank_of()
    bank.push(**objects([1], [0]))
    bank.push(**objects([], []))
    assert names_in(bank, 0) == [1]
    found = bank.retrieve(torch.zeros(0).long(), torch.zeros(0).long())
    assert found.rows.shape == (0, CAPACITY)
    none = bank.similarity(torch.zeros(0, CHANNELS, SIZE, SIZE), found.rows)
    assert none.shape == (0, CAPACITY, SIZE**2, SIZE**2)
    assert found.valid.shape == (0, CAPACITY)


def test_no_gradient_enters_the_bank():
    bank = bank_of()
    batch = objects([1], [0])
    batch["features"] = batch["features"].clone().requires_grad_()
    bank.push(**batch)
    found = bank.retrieve(batch["labels"], torch.tensor([-1]))
    assert not bank.features.requires_grad
    found.masks.zero_()
    assert names_in(bank, 0) == [1]


@pytest.mark.parametrize("label", [CLASSES, -1])
def test_a_label_that_no_class_has_fails(label):
    bank = bank_of()
    with pytest.raises((RuntimeError, IndexError), match="out of (range|bounds)"):
        bank.push(**objects([1], [label]))
    with pytest.raises((RuntimeError, IndexError), match="out of (range|bounds)"):
        bank.retrieve(torch.tensor([label]), torch.tensor([5]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(max_retrieved=CAPACITY + 1), "Expected 1 <= `min_retrieved` <= `max_retrieved`"),
        (dict(min_retrieved=3, max_retrieved=2), "but got 3, 2 and 4"),
        (dict(min_retrieved=0), "but got 0, 4 and 4"),
        (dict(dtype="float7"), "Expected `dtype` to be a floating type of torch.*'float7'"),
        (dict(dtype=torch.int8), "Expected `dtype` to be a floating type of torch.*int8"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        bank_of(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(features=torch.zeros(2, 5, 3, 3)), r"`features` of shape \(G, 2, 3, 3\) with 2 = 2"),
        (dict(features=torch.zeros(2, 2, 7, 7)), r"`features` of shape \(G, 2, 3, 3\) with 3 = 3"),
        (dict(masks=torch.zeros(2, 9)), r"Expected `masks` of shape \(G, 3, 3\)"),
        (dict(labels=torch.zeros(3).long()), r"Expected `labels` of shape \(G\) with G = 2"),
        (dict(image_ids=torch.zeros(2, 1).long()), r"Expected `image_ids` of shape \(G\)"),
        (dict(areas=torch.zeros(1)), r"Expected `areas` of shape \(G\) with G = 2"),
        (dict(valid=torch.zeros(1).bool()), r"Expected `valid` of shape \(G\) with G = 2"),
    ],
)
def test_wrong_shapes(change, message):
    with pytest.raises(ValueError, match=message):
        bank_of().push(**{**objects([1, 2], [0, 0]), **change})
