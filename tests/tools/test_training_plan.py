"""Image scale, batch size and length of the training in a written config."""

from __future__ import annotations

import pytest
from checked_data import coco

from mmdet_discobox.annotation_files.box_table import BoxTable
from starter_config import NETWORKS, plan_training


def table(*sides, size=(640, 480), images=1, boxes=1):
    """Square boxes in images of one size."""
    content = coco(*[[0, 0, side, side] for side in sides])
    content["images"] = [
        dict(content["images"][0], id=i + 1, width=size[0], height=size[1]) for i in range(images)
    ]
    return BoxTable(content)


@pytest.mark.parametrize(
    ("size", "side", "scale", "enlarged"),
    [
        ((1333, 800), 100, (1333, 800), ""),  # as it is
        ((4000, 3000), 500, (1056, 800), ""),  # mmdet's size
        ((4000, 3000), 20, (1056, 800), ""),  # also for small objects
        ((800, 600), 200, (800, 608), ""),  # large objects need no larger images
        ((800, 600), 20, (1056, 800), "for small objects"),
        ((320, 240), 100, (640, 480), "to the least size of 640"),
        ((600, 800), 200, (800, 608), ""),  # upright
    ],
)
def test_image_scales(size, side, scale, enlarged):
    plan = plan_training(table(side, size=size), NETWORKS["solov2"])
    assert (plan.image_scale, plan.enlarged) == (scale, enlarged)


def test_anchors_of_yolact_keep_their_size():
    plan = plan_training(table(20, size=(4000, 3000)), NETWORKS["yolact"])
    assert plan.image_scale == (550, 550)
    assert plan.tiny_share == 1.0


def test_objects_that_vanish_are_counted():
    plan = plan_training(table(50, 500, size=(4000, 3000)), NETWORKS["solov2"])
    assert plan.tiny_share == 0.5  # 13 pixels


@pytest.mark.parametrize(
    ("images", "epochs", "steps"), [(1, 300, 300), (100, 93, 93 * 13), (10_000, 12, 12 * 1250)]
)
def test_length_of_the_training(images, epochs, steps):
    plan = plan_training(table(200, size=(640, 480), images=images), NETWORKS["solov2"])
    assert plan.batch_size == min(images, 8)
    assert plan.epochs == epochs
    assert plan.steps == steps
    assert plan.warm_up <= 500
    assert 1 <= plan.interval <= epochs


def test_yolact_counts_the_images_that_the_data_set_keeps():
    """mmdet leaves out images without any annotation, but none with a crowd or a thin box alone."""
    content = coco([0, 0, 200, 200], [0, 0, 50, 50], [0, 0, 0.5, 50])
    first = content["images"][0]
    content["images"] = [dict(first, id=i, width=640, height=480) for i in (1, 2, 3, 4)]
    for number, annotation in enumerate(content["annotations"], 1):
        annotation.update(image_id=number, iscrowd=int(number == 2))
    assert plan_training(BoxTable(content), NETWORKS["yolact"]).batch_size == 3
    assert plan_training(BoxTable(content), NETWORKS["solov2"]).batch_size == 4
