"""The network that predicts the quality of a mask."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS

LABELS = torch.tensor([0, 1, 1])


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = MODELS.build(dict(type="MaskRescoring", num_classes=2))
    network.init_weights()
    return network


def test_it_is_the_network_of_yolact_plus_plus(network):
    convs = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [8, 16, 32, 64, 128, 2]
    assert [conv.kernel_size[0] for conv in convs] == [3] * 5 + [1]
    assert [conv.stride[0] for conv in convs] == [2] * 5 + [1]
    assert network.loss_weight == 25
    assert network.min_area == 25


def test_the_label_chooses_the_class(network):
    masks = torch.rand(3, 138, 138)
    both = [network(masks, torch.full((3,), label)) for label in (0, 1)]
    expected = torch.stack([both[0][0], both[1][1], both[1][2]])
    assert torch.equal(network(masks, LABELS), expected)
    assert (expected >= 0).all()


def test_no_class_starts_in_the_flat_part_of_the_relu(network):
    masks = (torch.rand(8, 138, 138) > 0.5).float()
    for label in (0, 1):
        assert (network(masks, torch.full((8,), label)) > 0).all()


def test_the_loss_is_smooth_l1_of_valid_masks(network):
    masks = torch.rand(3, 24, 24)
    ious = torch.tensor([0.2, 0.9, 0.4])
    areas, valid = torch.tensor([30.0, 30.0, 25.0]), torch.tensor([True, True, True])
    with torch.no_grad():
        error = network(masks, LABELS)[:2] - ious[:2]
    smooth = torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5)
    loss = network.loss(masks, LABELS, ious, areas, valid)
    assert loss.item() == pytest.approx(25 * smooth.mean().item(), rel=1e-5)
    valid[1] = False
    loss = network.loss(masks, LABELS, ious, areas, valid)
    assert loss.item() == pytest.approx(25 * smooth[0].item(), rel=1e-5)


def test_no_mask_is_no_loss_but_part_of_the_graph(network):
    none = torch.zeros(0)
    loss = network.loss(torch.zeros(0, 24, 24), none.long(), none, none, none.bool())
    assert loss.item() == 0
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_learns_which_masks_are_good(network):
    """Full discs are good, thin crosses bad, with the same MIL loss."""
    grid = torch.linspace(-1, 1, 24)
    disc = (grid[:, None] ** 2 + grid**2 < 0.6).float()
    cross = ((grid[:, None].abs() < 0.1) | (grid.abs() < 0.1)).float()
    masks, labels = torch.stack([disc, cross]), torch.zeros(2, dtype=torch.long)
    ious, areas = torch.tensor([0.9, 0.3]), torch.full((2,), 100.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(masks, labels, ious, areas, areas > 0).backward()
        optimizer.step()
    assert network(masks, labels).tolist() == pytest.approx([0.9, 0.3], abs=0.1)
