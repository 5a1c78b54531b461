"""Targets of the semantic branch: present and known classes of each cell."""

from __future__ import annotations

import pytest
import torch

from mmdet_discobox.models.networks.yolact.semantic_targets import semantic_targets
from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects, PseudoMasks

CLASSES, STRIDE, SIZE, CELLS = 3, 8.0, (9, 12), 8


def objects_of(boxes, labels, image_inds, num_images=1):
    return BoxObjects(
        boxes=torch.as_tensor(boxes, dtype=torch.float).view(-1, 4),
        labels=torch.as_tensor(labels, dtype=torch.long),
        image_inds=torch.as_tensor(image_inds, dtype=torch.long),
        image_sizes=torch.full((num_images, 2), 96.0),
        image_ids=torch.full((len(labels),), -1),
    )


def pseudo_of(objects, valid, masks=None, margin=0.0):
    """Refined masks; those that are not given fill their region, beyond the box too."""
    grow = (objects.boxes[:, 2:] - objects.boxes[:, :2]) * margin
    shape = (len(objects), CELLS, CELLS)
    return PseudoMasks(
        masks=torch.ones(shape) if masks is None else masks,
        inside=torch.ones(shape, dtype=torch.bool),
        regions=objects.boxes + torch.cat([-grow, grow], 1),
        valid=torch.as_tensor(valid, dtype=torch.bool),
        certainty=torch.ones(len(objects)),
    )


def targets(pseudo, objects):
    return semantic_targets(pseudo, objects, stride=STRIDE, size=SIZE, num_classes=CLASSES)


def naive(pseudo, objects):
    """One object, one cell at a time; a cell belongs to a box if its centre does."""
    shape = (len(objects.image_sizes), CLASSES, *SIZE)
    present, doubted = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for index in range(len(objects)):
        image, label = int(objects.image_inds[index]), int(objects.labels[index])
        x1, y1, x2, y2 = objects.boxes[index].tolist()
        region = pseudo.regions[index : index + 1] / STRIDE
        mask = paste_regions(pseudo.masks[index : index + 1], region, SIZE)[0]
        for row in range(SIZE[0]):
            for col in range(SIZE[1]):
                x, y = (col + 0.5) * STRIDE, (row + 0.5) * STRIDE
                if x1 <= x < x2 and y1 <= y < y2:
                    if not pseudo.valid[index]:
                        doubted[image, label, row, col] = True
                    elif mask[row, col] > 0.5:
                        present[image, label, row, col] = True
    return present, present | ~doubted


def test_a_class_is_unknown_where_its_object_is_thinner_than_a_cell():
    objects = objects_of([[13.0, 16.0, 19.0, 48.0]], [1], [0])  # between the centres at 12 and 20
    present, known = targets(pseudo_of(objects, [True]), objects)
    assert not present.any()
    assert (~known).nonzero().tolist() == [[0, 1, row, 2] for row in range(2, 6)]


@pytest.mark.parametrize("seed", range(5))
def test_targets_are_those_of_the_plain_loop(seed):
    torch.manual_seed(seed)
    corners = torch.rand(12, 2) * 50
    boxes = torch.cat([corners, corners + 10 + torch.rand(12, 2) * 40], 1)
    objects = objects_of(boxes, torch.randint(CLASSES, (12,)), [0] * 5 + [2] * 7, num_images=3)
    masks = torch.rand(12, CELLS, CELLS)
    pseudo = pseudo_of(objects, torch.rand(12) < 0.6, masks, margin=0.1)
    for found, expected in zip(targets(pseudo, objects), naive(pseudo, objects), strict=True):
        assert torch.equal(found, expected)
        assert expected.any()
        assert not expected.all()


def test_an_example_by_hand():
    """Two objects of class 1: the left one has a valid mask, the right one has not."""
    objects = objects_of([[0, 0, 32, 16], [16, 0, 64, 16]], [1, 1], [0, 0])
    present, known = targets(pseudo_of(objects, [True, False]), objects)
    assert present.shape == known.shape == (1, CLASSES, *SIZE)
    expected = torch.zeros(SIZE, dtype=torch.bool)
    expected[:2, :4] = True  # the left box of 4 x 2 cells
    assert torch.equal(present[0, 1], expected)
    expected[:2] = True
    expected[:2, 4:8] = False  # the right box, but where the left object is
    expected[2:] = True
    assert torch.equal(known[0, 1], expected)
    others = [0, 2]  # are nowhere, and that is known
    assert not present[0, others].any()
    assert known[0, others].all()


def test_masks_end_at_their_boxes():
    objects = objects_of([[16, 16, 48, 48]], [0], [0])
    present, _ = targets(pseudo_of(objects, [True], margin=0.5), objects)
    assert present.sum() == 4 * 4


def test_without_objects_all_classes_are_known_to_be_absent():
    objects = objects_of([], [], [], num_images=2)
    present, known = targets(pseudo_of(objects, []), objects)
    assert present.shape == known.shape == (2, CLASSES, *SIZE)
    assert not present.any()
    assert known.all()


def test_no_host_synchronisation():
    """Meta tensors have no values, so reading one fails."""
    objects = objects_of([[0, 0, 32, 16], [16, 0, 64, 16]], [1, 1], [0, 0])
    pseudo = pseudo_of(objects, [True, False])
    there = [
        type(record)(**{k: None if v is None else v.to("meta") for k, v in vars(record).items()})
        for record in (pseudo, objects)
    ]
    present, known = targets(*there)
    assert present.shape == known.shape == (1, CLASSES, *SIZE)


def test_rejects_other_than_one_mask_for_each_object():
    objects = objects_of([[0, 0, 32, 16], [16, 0, 64, 16]], [1, 1], [0, 0])
    pseudo = pseudo_of(objects_of([[0, 0, 32, 16]], [1], [0]), [True])
    with pytest.raises(ValueError, match=r"Expected `masks` of shape \(G, S, S\) with G = 2"):
        targets(pseudo, objects)
