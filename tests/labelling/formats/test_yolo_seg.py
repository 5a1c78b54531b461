"""The folder of ultralytics' segmentation training, read back by a parser of its own."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from labelled_sets import HEIGHT, WIDTH, annotated, blobs, disc, labelled_set, write_images
from pycocotools import mask as coco_mask

from mmdet_discobox.labelling.formats import check_images, write_masks
from mmdet_discobox.labelling.formats.yolo_seg import join_polygons
from mmdet_discobox.labelling.mask_encoding import decode_rle, to_polygons


def label_paths(folder):
    """Find images and labels as ultralytics does: data.yaml, list of images, folder `labels`."""
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert data["val"] == data["train"]
    listed = Path(data["path"]) / data["train"]
    pairs = []
    for line in listed.read_text(encoding="utf-8").splitlines():
        image = line.replace("./", f"{listed.parent}{os.sep}") if line.startswith("./") else line
        label = "/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        pairs.append((Path(image), Path(label)))
    return data["names"], pairs


def read_objects(label, fill):
    """Read lines ``class x1 y1 ...`` as pairs of class and mask."""
    objects = []
    for line in label.read_text().splitlines():
        number, *values = line.split()
        points = np.array(values, dtype=float).reshape(-1, 2)
        assert len(points) >= 3
        assert points.min() >= 0
        assert points.max() <= 1
        objects.append((int(number), fill(points * (WIDTH, HEIGHT))))
    return objects


def fill_by_pycocotools(points):
    code = coco_mask.frPyObjects([points.flatten().tolist()], HEIGHT, WIDTH)
    return coco_mask.decode(coco_mask.merge(code)) > 0


def fill_by_opencv(points):
    """Rasterise at 8 times the size, where the bridges between parts are thin."""
    large = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
    cv2.fillPoly(large, [np.round(points * 8).astype(np.int32)], 1)
    return cv2.resize(large * 255, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) > 127


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("fill", [fill_by_pycocotools, fill_by_opencv])
@pytest.mark.parametrize("parts", [1, 2, 9])
def test_masks_come_back(tmp_path, fill, parts):
    masks = [blobs(seed, parts) for seed in range(8)]
    border = np.zeros((HEIGHT, WIDTH), bool)
    border[:20], border[-20:, -30:] = True, True
    masks.append(border)
    classes = [(7, 3)[index % 2] for index in range(len(masks))]
    dataset = labelled_set(
        [annotated(mask, category_id=each) for mask, each in zip(masks, classes, strict=True)]
    )
    write_images(tmp_path / "bilder", dataset)
    write_masks("yolo-seg", tmp_path / "aus gabe", dataset, tmp_path / "bilder")
    names, [(image, label)] = label_paths(tmp_path / "aus gabe")
    assert names == {0: "cat", 1: "dog"}
    assert cv2.imread(str(image)).shape == (HEIGHT, WIDTH, 3)
    objects = read_objects(label, fill)
    assert [number for number, _ in objects] == [(7, 3).index(each) for each in classes]
    for mask, (_, back) in zip(masks, objects, strict=True):
        assert iou(mask, back) > 0.95


def test_a_pixel_has_four_corners(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[-1, -1] = True
    write_masks("yolo-seg", tmp_path / "out", labelled_set([annotated(mask)]))
    _, [(_, label)] = label_paths(tmp_path / "out")
    ((_, back),) = read_objects(label, fill_by_pycocotools)
    assert np.array_equal(back, mask)


def test_parts_are_joined_over_the_shortest_bridges():
    squares = [[x, 0, x + 2, 0, x + 2, 2, x, 2] for x in (0, 20, 10)]
    joined = join_polygons(squares)
    steps = np.linalg.norm(joined - np.roll(joined, 1, axis=0), axis=1)
    assert sorted(steps[steps > 2]) == [8, 8, 8, 8]  # there and back, twice
    x, y = joined.T
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert area == 3 * 4
    assert join_polygons(squares[:1]).flatten().tolist() == squares[0]


def test_holes_are_filled_and_counted(tmp_path):
    ring = disc(50, 50, 20) & ~disc(50, 50, 8)
    dataset = labelled_set([annotated(ring), annotated(disc(60, 40, 9))])
    notes = write_masks("yolo-seg", tmp_path / "out", dataset)
    assert any("holes of 1 mask are filled" in note for note in notes)
    _, [(_, label)] = label_paths(tmp_path / "out")
    assert read_objects(label, fill_by_pycocotools)[0][1][50, 50]


def test_sub_folders_keep_equal_names_apart(tmp_path):
    names = ["a/x.jpg", "b/x.jpg", "b/images/y.v2.jpg", "images/z.jpg", "leer.jpg"]
    annotations = [annotated(disc(30 + 5 * i, 40, 10 + i), image_id=i) for i in range(1, 5)]
    dataset = labelled_set(annotations, names)
    write_images(tmp_path / "images", dataset)
    before = sorted(path for path in tmp_path.rglob("*"))
    write_masks("yolo-seg", tmp_path / "out", dataset, tmp_path / "images")
    _, pairs = label_paths(tmp_path / "out")
    labels = [label.relative_to(tmp_path / "out").as_posix() for _, label in pairs]
    assert labels == [f"labels/{name}.txt" for name in ("a/x", "b/x", "b/y.v2", "z", "leer")]
    for index, (image, label) in enumerate(pairs[:4]):
        assert image.resolve() == tmp_path / "images" / names[index]
        ((_, back),) = read_objects(label, fill_by_pycocotools)
        assert iou(back, decode_rle(annotations[index]["segmentation"])) > 0.95
    assert pairs[4][1].read_text() == ""  # an image without objects is background
    after = [path for path in tmp_path.rglob("*") if tmp_path / "out" not in (path, *path.parents)]
    assert sorted(after) == before  # nothing is written beside the images


def test_names_outside_the_folder_of_images_stay_in_the_output(tmp_path):
    dataset = labelled_set(
        [annotated(disc(30, 40, 10), image_id=1), annotated(disc(30, 40, 10), image_id=2)],
        ["../up.jpg", str(tmp_path / "abs.jpg")],
    )
    (tmp_path / "images").mkdir()
    write_images(tmp_path / "images", dataset)
    write_masks("yolo-seg", tmp_path / "out", dataset, tmp_path / "images")
    _, pairs = label_paths(tmp_path / "out")
    assert [image.resolve().name for image, _ in pairs] == ["up.jpg", "abs.jpg"]
    assert all(label.is_file() and tmp_path / "out" in label.parents for _, label in pairs)


def test_what_is_left_out(tmp_path):
    failed = dict(annotated(disc(30, 40, 10), image_id=2), segmentation=[[]])
    dataset = labelled_set(
        [
            annotated(disc(30, 40, 10)),
            dict(annotated(disc(70, 40, 10)), iscrowd=1),
            annotated(disc(90, 40, 10), ignore=1),
            failed,
            annotated(disc(30, 40, 10), image_id=3),
        ],
        ["good.jpg", "failed.jpg", "gone.jpg"],
    )
    write_images(tmp_path, labelled_set([], ["good.jpg", "failed.jpg"]))
    notes = "\n".join(write_masks("yolo-seg", tmp_path / "out", dataset, tmp_path))
    assert "2 images without a file, or whose boxes have no mask" in notes
    assert "2 crowd or ignored objects" in notes
    _, [(image, label)] = label_paths(tmp_path / "out")
    assert image.name == "good.jpg"
    assert len(label.read_text().splitlines()) == 1


def test_without_the_folder_of_images_the_user_links_them(tmp_path):
    dataset = labelled_set([annotated(disc(30, 40, 10))])
    notes = "\n".join(write_masks("yolo-seg", tmp_path / "out", dataset))
    assert f"Copy or link the images to '{tmp_path / 'out' / 'images'}'" in notes
    assert notes.endswith(f"data={tmp_path / 'out' / 'data.yaml'}")
    assert not (tmp_path / "out" / "images").exists()
    notes = write_masks("yolo-seg", tmp_path / "out 2", dataset)
    assert notes[-1].endswith(f"'data={tmp_path / 'out 2' / 'data.yaml'}'")


def test_two_images_of_one_label_file_are_refused_before_labelling():
    dataset = labelled_set([], ["a/x.jpg", "x.jpg", "a/x.png"])
    with pytest.raises(ValueError, match=r"'a/x.jpg' and 'a/x.png' would both have 'a/x.txt'"):
        check_images("yolo-seg", dataset)
    check_images("coco", dataset)


def test_a_mask_without_a_pixel_has_no_line(tmp_path):
    empty = annotated(disc(30, 40, 10))
    empty["segmentation"] = dict(size=[HEIGHT, WIDTH], counts=[HEIGHT * WIDTH])
    write_masks("yolo-seg", tmp_path / "out", labelled_set([empty]))
    _, [(_, label)] = label_paths(tmp_path / "out")
    assert label.read_text() == ""


def test_corners_are_not_repeated():
    for polygon in to_polygons(disc(50, 50, 20)):
        points = np.reshape(polygon, (-1, 2))
        assert (points != np.roll(points, 1, axis=0)).any(axis=1).all()
