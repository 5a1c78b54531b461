"""Problems of a json are reported with their location, value and fix."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
from coco_json import CLASSES, GOOD, Json, annotation, coco
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_discobox.annotation_files.coco_validation import (
    check_coco_boxes,
    find_problems,
    load_coco_json,
)


def check(content: Any, classes: Any = CLASSES) -> None:
    check_coco_boxes(content, name="boxes.json", classes=classes)


def test_good_json_has_no_problems() -> None:
    assert find_problems(coco(GOOD), classes=CLASSES) == []
    assert find_problems(coco([]), classes=CLASSES) == []
    assert find_problems(coco(GOOD), classes=("dog",)) == []
    check(coco(GOOD))


def test_ids_may_be_strings() -> None:
    content = coco([annotation("a", "x", [1, 2, 3, 4], category_id="pet")])
    content["images"][0]["id"] = "x"
    content["categories"][0]["id"] = "pet"
    assert find_problems(content, classes=CLASSES) == []


@pytest.mark.parametrize("text", ["", '{"images": [', "\x00", "[" * 100_000])
def test_unparsable_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expected 'the json' .* cannot be parsed"):
        load_coco_json(tmp_path / "boxes.json", name="the json")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere.json', but there is no such file"):
        load_coco_json(tmp_path / "nowhere.json")
    with pytest.raises(ValueError, match="it is a folder"):
        load_coco_json(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": None}, r"annotation 5 \(image 3, 'third.png'\): has no `bbox`"),
        (
            {"bbox": [1, 2, 3]},
            r"annotation 5 .*: expected `bbox` to be four numbers, .*\[1, 2, 3\]",
        ),
        ({"bbox": [1, 2, "3", 4]}, r"four numbers, but got \[1, 2, '3', 4\]"),
        ({"bbox": [1, 2, True, 4]}, r"four numbers, but got \[1, 2, True, 4\]"),
        ({"bbox": "1 2 3 4"}, r"four numbers, but got '1 2 3 4'"),
        ({"bbox": [1, 2, math.nan, 4]}, r"annotation 5 .* finite .* got \[1, 2, nan, 4\]"),
        ({"bbox": [-math.inf, 2, 3, 4]}, r"finite .* got \[-inf, 2, 3, 4\]"),
        ({"bbox": [10**400, 2, 3, 4]}, r"finite and at most 16777216"),
        (
            {"bbox": [1, 2, -3, 4]},
            r"annotation 5 .* no negative width or height .* \[1, 2, -3, 4\]",
        ),
        ({"bbox": [1, 2, 3, -4]}, r"no negative width or height"),
        ({"category_id": 99}, r"annotation 5 .*: `category_id` 99 is not in .* one of (7, 3|3, 7)"),
        ({"category_id": [7]}, r"`category_id` \[7\] is not in `categories`"),
        ({"category_id": None}, r"`category_id` None is not in `categories`"),
        ({"image_id": 99}, r"annotation 5 \(image 99\): `image_id` 99 is not in `images`"),
        ({"image_id": "3"}, r"`image_id` '3' is not in `images`"),
        ({"id": 1}, r"annotation 1 \(image 3, 'third.png'\): its `id` 1 occurs twice"),
        ({"id": None}, r"`annotations\[4\]` .*: its `id` is None"),
    ],
)
def test_bad_annotation_is_named(change: Json, message: str) -> None:
    annotations = copy.deepcopy(GOOD)
    annotations[4].update(change)
    with pytest.raises(ValueError, match=message) as caught:
        check(coco(annotations))
    assert "'boxes.json'" in str(caught.value)
    assert "found 1 problem:" in str(caught.value)


@pytest.mark.parametrize("field", ["id", "image_id", "category_id", "bbox"])
def test_missing_field_is_named(field: str) -> None:
    annotations = copy.deepcopy(GOOD)
    del annotations[4][field]
    with pytest.raises(ValueError, match=rf"annotation.*`{field}`"):
        check(coco(annotations))


def test_many_bad_annotations_are_counted() -> None:
    bad = [annotation(index, 1, [0, 0, -1, 1]) for index in range(10, 22)]
    with pytest.raises(ValueError, match="found 12 problems:") as caught:
        check(coco(GOOD + bad))
    assert re.findall(r"annotation (\d+)", str(caught.value)) == ["10", "11", "12", "13", "14"]
    assert str(caught.value).endswith("... and 7 more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is a json list instead of an object"),
        (3, "is a json int instead of an object"),
        ({}, r"(?s)3 problems.*`images`: is missing.*`annotations`: is.*`categories`: is missing"),
        ({**coco(GOOD), "annotations": {}}, r"`annotations`: is \{\}"),
        ({**coco(GOOD), "annotations": [1]}, r"`annotations\[0\]`: is 1"),
        ({**coco(GOOD), "images": [None]}, r"`images\[0\]`: is None"),
    ],
)
def test_no_coco_json(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check(content)
    assert "boxes.json" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("images", {"file_name": None}, r"image 1 \(None\): `file_name` is None"),
        ("images", {"width": None}, r"image 1 \('first.png'\): `width` is None"),
        ("images", {"height": 0}, r"image 1 .*: `height` is 0"),
        ("images", {"height": math.nan}, r"image 1 .*: `height` is nan"),
        ("images", {"id": [1]}, r"`image` no. 0 .*: its `id` is \[1\]"),
        ("images", {"id": 2}, r"image 2 \('folder/second.png'\): its `id` 2 occurs twice"),
        ("categories", {"name": 4}, r"category 7 \(4\): `name` is 4"),
        ("categories", {"id": 3}, r"category 3 \('dog'\): its `id` 3 occurs twice"),
    ],
)
def test_bad_image_or_category_is_named(section: str, change: Json, message: str) -> None:
    content = coco(GOOD)
    content[section][0].update(change)
    with pytest.raises(ValueError, match=message):
        check(content)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "horse"), r"names that the json does not have: 'horse'\. .*\['cat', 'dog'\]"),
        (("dog", "cat"), r"`classes` is \['dog', 'cat'\], but the json has \['cat', 'dog'\]"),
        (("cat", "cat"), r"`classes` is \['cat', 'cat'\], but the json has \['cat'\]"),
        ("cat", r"`classes` is 'cat', not a list of names"),
        ((), r"`classes` is \(\), not a list of names"),
    ],
)
def test_classes_that_do_not_fit_the_json(classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(coco(GOOD), classes)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=5) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(content=st.dictionaries(st.sampled_from(list(coco([]))), JSON_VALUES) | JSON_VALUES)
def test_fuzzed_files_raise_a_value_error(content: Any) -> None:
    with pytest.raises(ValueError, match=r"boxes\.json"):
        check(content)
