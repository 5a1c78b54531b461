from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdet_discobox.annotation_files.box_formats import read_boxes, voc_xml
from mmdet_discobox.annotation_files.coco_validation import check_coco_boxes

OBJECT = (
    "<object><name>{name}</name><pose>Left</pose><difficult>1</difficult><bndbox><xmin>{0}</xmin>"
    "<ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox><attributes><attribute>"
    "<name>colour</name><value>red</value></attribute></attributes></object>"
)


def xml(*objects, name="bild ü.png", size=(48, 32)):
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    body = "".join(OBJECT.format(*box, name=label) for label, box in objects)
    return f"<annotation><filename>{name}</filename><folder>x</folder>{sides}{body}</annotation>"


@pytest.fixture
def folders(tmp_path):
    labels, images = tmp_path / "etiketten", tmp_path / "bilder"
    labels.mkdir()
    images.mkdir()
    image = cv2.imencode(".png", np.zeros((32, 48, 3), np.uint8))[1]
    (images / "bild ü.png").write_bytes(image.tobytes())
    return labels, images


def test_pixels_are_counted_from_one_and_other_fields_are_kept(folders):
    labels, images = folders
    text = xml(("hund", (1, 1, 48, 32)), ("Äpfel", (10, 5, 10, 6)))
    (labels / "bild ü.xml").write_text(text, encoding="utf-8")
    dataset = read_boxes(labels, images)
    first, second = dataset["annotations"]
    assert first["bbox"] == [0, 0, 48, 32]  # the whole image: both corners belong to the box
    assert second["bbox"] == [9, 4, 1, 2]
    assert (first["pose"], first["difficult"]) == ("Left", 1)
    assert first["attributes"] == {"colour": "red"}
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    assert [names[a["category_id"]] for a in (first, second)] == ["hund", "Äpfel"]
    (image,) = dataset["images"]
    assert (image["file_name"], image["width"], image["height"]) == ("bild ü.png", 48, 32)
    assert (image["label_file"], image["folder"]) == ("bild ü.xml", "x")


def test_size_and_file_name_default_to_those_of_the_image(folders):
    labels, images = folders
    text = xml(("a", (1, 1, 2, 2)), name="C:\\old\\1.jpg", size=None)
    (labels / "bild ü.xml").write_text(text, encoding="utf-8")
    (image,) = read_boxes(labels, images)["images"]
    assert (image["file_name"], image["width"], image["height"]) == ("bild ü.png", 48, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "cannot be parsed"),
        ("<html></html>", "got <html>"),
        (xml(("", (1, 1, 2, 2))), "to have a <name>"),
        (xml(("a", (5, 1, 2, 2))), "smaller corner first"),
        (xml(("a", ("nan", 1, 2, 2))), "to have a <bndbox>"),
    ],
)
def test_invalid_files_are_refused(folders, text, message):
    labels, images = folders
    (labels / "bild ü.xml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_boxes(labels, images)


def test_a_label_file_without_an_image_is_refused(folders):
    labels, images = folders
    (labels / "other.xml").write_text(xml(name="other.png"))
    with pytest.raises(FileNotFoundError, match=r"an image 'other\.\*'"):
        read_boxes(labels, images)


tags = st.sampled_from(["annotation", "object", "name", "bndbox", "xmin", "xmax", "size", "width"])
trees = st.recursive(
    st.text(st.characters(exclude_characters="<&", codec="utf-8"), max_size=6) | st.just("7"),
    lambda inner: st.builds(
        lambda tag, children: f"<{tag}>{''.join(children)}</{tag}>", tags, st.lists(inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees.map(lambda tree: f"<annotation>{tree}</annotation>".encode()) | st.binary())
def test_any_file_is_read_or_refused(folders, content):
    labels, images = folders
    (labels / "bild ü.xml").write_bytes(content)
    try:
        dataset = read_boxes(labels, images)
    except ValueError as error:
        refusal = str(error)
    else:
        check_coco_boxes(dataset, name="the result")
        return
    assert "bild ü.xml" in refusal or str(labels) in refusal


def test_rotated_rectangles_of_cvat_are_enclosed(folders):
    labels, images = folders
    text = xml(("hund", (15, 13, 34, 20))).replace("colour", "rotation").replace("red", "90.0")
    (labels / "bild ü.xml").write_text(text, encoding="utf-8")
    (annotation,) = read_boxes(labels, images)["annotations"]
    assert annotation["bbox"] == [20, 6, 8, 20]  # of [14, 12, 20, 8]


def test_deep_elements_are_refused(folders):
    labels, images = folders
    deep = "<annotation>" + "<a>" * 50_000 + "</a>" * 50_000 + "</annotation>"
    (labels / "bild ü.xml").write_text(deep, encoding="utf-8")
    with pytest.raises(ValueError, match=r"bild ü\.xml.* nested more than 30 levels deep"):
        read_boxes(labels, images)


@pytest.mark.parametrize("name", ["../geheim.png", "/dev/zero"])
def test_names_do_not_leave_the_folder_of_the_images(folders, name):
    labels, images = folders
    (images.parent / "geheim.png").write_bytes((images / "bild ü.png").read_bytes())
    text = xml(("hund", (1, 1, 9, 9)), name=name)
    (labels / "bild ü.xml").write_text(text, encoding="utf-8")
    (image,) = read_boxes(labels, images)["images"]
    assert image["file_name"] == "bild ü.png"


def test_two_files_of_one_image_are_refused(folders):
    labels, images = folders
    for name in ("bild ü.xml", "other.xml"):
        (labels / name).write_text(xml(("a", (1, 1, 2, 2))), encoding="utf-8")
    with pytest.raises(ValueError, match=r"'bild ü.xml' and 'other.xml' are both of 'bild ü.png'"):
        read_boxes(labels, images)


def test_a_copied_file_is_of_the_image_with_its_own_name(folders, monkeypatch):
    labels, images = folders
    lines = []
    monkeypatch.setattr(voc_xml, "print_log", lambda text, logger, level: lines.append(text))
    (images / "other.png").write_bytes((images / "bild ü.png").read_bytes())
    for name in ("bild ü.xml", "other.xml"):
        (labels / name).write_text(xml(("a", (1, 1, 2, 2))), encoding="utf-8")
    names = [image["file_name"] for image in read_boxes(labels, images)["images"]]
    assert names == ["bild ü.png", "other.png"]
    assert len(lines) == 1
    assert lines[0].endswith("first 'other.xml' names 'bild ü.png'.")
