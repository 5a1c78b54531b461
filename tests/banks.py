"""Small object banks, and objects to put into them that differ."""

from __future__ import annotations

import io

import torch
import torch.nn.functional as F

from mmdet_discobox.structures import ObjectBank

CLASSES, CHANNELS, SIZE, CAPACITY = 3, 2, 3, 4
LARGE = 40.0 * 40


def bank_of(**changes):
    """A small bank that, by default, returns all objects of a class."""
    config = dict(
        num_classes=CLASSES,
        channels=CHANNELS,
        size=SIZE,
        capacity=CAPACITY,
        max_retrieved=CAPACITY,
        min_retrieved=1,
    )
    return ObjectBank(**{**config, **changes})


def objects(names, labels, image_ids=None, areas=None, valid=None):
    """Objects whose features and masks are made of a number; masks are exact in half precision."""
    count = len(names)
    names = torch.tensor(names, dtype=torch.float).view(count, 1, 1)
    features = names[..., None] + torch.arange(CHANNELS).view(-1, 1, 1) * 0.5
    return dict(
        features=features.expand(-1, -1, SIZE, SIZE),
        masks=(names / 1024).expand(-1, SIZE, SIZE),
        labels=torch.tensor(labels, dtype=torch.long),
        image_ids=torch.tensor(names.view(-1).tolist() if image_ids is None else image_ids).long(),
        areas=torch.tensor([LARGE] * count if areas is None else areas),
        valid=torch.tensor([True] * count if valid is None else valid, dtype=torch.bool),
    )


def names_in(bank, label, image_id=-1):
    """Numbers of the objects that one query gets; their features are unit vectors of the same."""
    found = bank.retrieve(torch.tensor([label]), torch.tensor([image_id]))
    names = numbers(found)[0]
    assert torch.equal(found.masks[0], (names / 1024).view(-1, 1, 1).expand_as(found.masks[0]))
    vectors = names[:, None] + torch.arange(CHANNELS) * 0.5
    expected = F.normalize(vectors, dim=1) * found.valid[0, :, None]
    stored = bank.features[found.rows[0]].float()
    assert torch.allclose(stored, expected[..., None, None].expand_as(stored), atol=1e-3)
    return [int(name) for name in names[found.valid[0]]]


def numbers(found):
    """Numbers of the retrieved objects, ``(G, R)``, 0 where there is none."""
    return found.masks[:, :, 0, 0] * 1024


def saved(bank):
    """The state after a trip through a file, read as carefully as torch can."""
    file = io.BytesIO()
    torch.save(bank.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def random_batch(generator, first):
    """Up to nine objects (twice the capacity and more), some small, some not valid."""
    count = int(torch.randint(10, (), generator=generator))
    rolls = torch.randint(100, (4, count), generator=generator)
    return objects(
        list(range(first, first + count)),
        (rolls[0] % CLASSES * (rolls[1] > 30)).tolist(),  # more of the first class
        (rolls[2] % 5).tolist(),
        torch.where(rolls[3] < 20, 1023.0, 1024.0).tolist(),
        (rolls[3] < 80).tolist(),
    )
