"""Random faults in a json: each reader accepts or refuses alike, and what is accepted trains."""

from __future__ import annotations

import copy
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from one_door import CLASSES, HEIGHT, WIDTH, average_precision, coco, readers
from tiny import NETWORKS, build

from mmdet_discobox.annotation_files.coco_validation import find_problems

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(96, 96), keep_ratio=True),
    dict(type="PackDetInputs"),
]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from(["0", "1", "false", "1.0", 2**53 + 1, 2**64, 10**400, 1e308, -1, "é"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip
#: numbers at which a box becomes thin, flat, huge or one outside its image
EDGES = (0, 0.5, 1, 1 + 1e-7, WIDTH, HEIGHT, 1e-30, 2.0**24, -(2.0**24), 2**24 + 1)
NAMES = {
    "images": ["id", "file_name", "width", "height", "extra"],
    "annotations": [
        "id", "image_id", "category_id", "bbox", "iscrowd", "ignore", "area", "segmentation",
        "attributes",
    ],
    "categories": ["id", "name"],
}  # fmt: skip


@st.composite
def jsons(draw: Any) -> Any:
    """A json with one to three changed, missing or repeated values."""
    content = coco()
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sorted(NAMES)))
        record = draw(st.sampled_from(content[section]))
        name = draw(st.sampled_from(NAMES[section]))
        kind = draw(st.sampled_from(["value", "plausible", "missing", "twice", "nested"]))
        if kind == "missing":
            record.pop(name, None)
        elif kind == "twice":
            content[section].append(dict(record))
        elif kind == "nested":
            record[name] = json.loads("[" * 200 + "]" * 200)
        elif kind == "plausible" and name in ("bbox", "segmentation", "attributes"):
            numbers = st.lists(st.floats(-60, 60) | st.integers(-60, 60), max_size=9)
            sides = st.floats(0, 40) | st.floats(-60, 60) | st.sampled_from(EDGES)
            record["bbox"] = draw(st.lists(sides, min_size=4, max_size=4))
            record["segmentation"] = draw(st.lists(numbers, max_size=2))
            record["attributes"] = dict(rotation=draw(st.floats(-400, 400)))
        else:
            record[name] = draw(VALUES)
    return content


def fuzz(default: int, variable: str) -> Any:
    """Settings of hypothesis; an environment variable sets the number of cases."""
    return settings(
        max_examples=int(os.environ.get(variable, default)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@fuzz(100, "DOOR_CASES")
@given(content=jsons())
def test_fuzzed_jsons_are_read_or_refused_alike(tmp_path: Path, content: Any) -> None:
    """What the check accepts loads, is labelled, packed and evaluated; what not, all refuse."""
    outcomes = {}
    for name, read in readers(tmp_path, content, classes=names_of(content)).items():
        try:
            outcomes[name] = read()
        except (ValueError, FileNotFoundError) as error:
            assert len(str(error)) > 40  # noqa: PT017 - both outcomes are valid
            outcomes[name] = None
    if find_problems(content):
        assert not any(outcomes.values())
    if outcomes["check"] is None:
        return
    assert all(outcome is not None for outcome in outcomes.values())
    assert sum(len(info["instances"]) for info in outcomes["data_set"]) > 0
    assert json.dumps(outcomes["labeller"], sort_keys=True)
    if names_of(content) == CLASSES:
        result = average_precision(outcomes["metric"], outcomes["data_set"])
        assert -1 <= result <= 1  # -1 if all are crowds


@pytest.mark.parametrize("network", NETWORKS)
@fuzz(5, "TRAINED_CASES")
@given(content=jsons())
def test_what_the_check_accepts_trains_one_step(tmp_path: Path, network: str, content: Any) -> None:
    """Losses and weights stay finite, with all that a training does in a step."""
    classes = names_of(content)
    every = readers(tmp_path, content, classes=classes, pipeline=PIPELINE)
    try:
        every["check"]()
    except ValueError:
        assume(False)  # noqa: FBT003 - draw another
    dataset = every["data_set"]()
    model = copy.deepcopy(tiny_network(network, len(classes)))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.001))
    losses = model.train_step(pseudo_collate([*dataset]), wrapper)
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    assert all(weight.isfinite().all() for weight in model.parameters())


@lru_cache
def tiny_network(name: str, num_classes: int) -> Any:
    return build(NETWORKS[name](num_classes=num_classes))


def names_of(content: Any) -> tuple[Any, ...] | None:
    """Return the classes of a json, as a config would name them."""
    names = tuple(category.get("name") for category in content["categories"])
    return names if all(isinstance(name, str) for name in names) else None
