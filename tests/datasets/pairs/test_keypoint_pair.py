from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import ExifTags, Image

from mmdet_discobox.datasets.pairs import KeypointImage, KeypointPair
from mmdet_discobox.evaluation import PCKMetric

POINTS = np.array([[1.0, 2.0], [3.0, 4.0], [np.nan, np.nan]])


def image(path, *, visible=(True, True, False), box=None):
    return KeypointImage(path, POINTS, np.array(visible), box)


@pytest.fixture
def pair(tmp_path):
    paths = [tmp_path / "source.png", tmp_path / "target.png"]
    for path, size in zip(paths, [(30, 20), (16, 24)], strict=True):
        Image.new("RGB", size).save(path)
    source = image(paths[0], visible=(True, False, False))
    return KeypointPair("7", "cat", source, image(paths[1], box=np.array([0.0, 1, 9, 8])))


def test_a_key_point_counts_if_visible_in_both_images(pair):
    assert pair.visible.tolist() == [True, False, False]


def test_the_size_is_read_on_access(pair, tmp_path):
    lost = image(tmp_path / "not there.png")
    assert lost.points.shape == (3, 2)
    with pytest.raises(FileNotFoundError, match=r"not there\.png"):
        _ = lost.size
    assert (pair.source.size, pair.target.size) == ((30, 20), (16, 24))


def test_the_size_is_that_of_the_loaded_image(tmp_path):
    """mmdet's loader applies the EXIF orientation: width and height are swapped."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=turned)
    height, width = LoadImageFromFile()(dict(img_path=str(tmp_path / "a.jpg")))["img_shape"]
    assert image(tmp_path / "a.jpg").size == (width, height) == (20, 30)


def test_the_metric_accepts_a_sample(pair):
    sample = pair.to_sample()
    assert sample["source_size"] == (30, 20)
    assert sample["target_size"] == (16, 24)
    assert sample["source_box"] is None
    for protocol in ("scot", "dhpf", "cats", "dift", "ncnet_pf"):
        metric = PCKMetric(protocol)
        metric.process(None, [{**sample, "predicted_points": POINTS}])
        assert metric.evaluate(1)["correspondence/PCK@0.1/cat"] == 1


def test_wrong_records(pair):
    with pytest.raises(ValueError, match=r"`points` of shape \(K, 2\) .* got \(3, 2\) and \(2,\)"):
        image(pair.source.path, visible=(True, True))
    with pytest.raises(ValueError, match=r"visible points of '.*source.png' to be finite"):
        image(pair.source.path, visible=(True, True, True))
    with pytest.raises(ValueError, match=r"`box` of '.*source.png' to be \(x1, y1, x2, y2\)"):
        image(pair.source.path, box=np.zeros(3))
    fewer = KeypointImage(pair.source.path, POINTS[:2], np.ones(2, bool))
    with pytest.raises(ValueError, match="as many source as target key points in pair '7'"):
        dataclasses.replace(pair, source=fewer)
