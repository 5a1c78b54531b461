"""The benchmark of the quality, on discs, and its regression on made-up signals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import bench_quality
from mmdet_discobox.labelling.mask_quality import QualityModel


@pytest.fixture
def two_images(dataset):
    """The images of a set are halved: the disc once more under another id."""
    content = json.loads(dataset.read_text())
    content["images"] += [dict(content["images"][0], id=2)]
    again = [dict(a, id=a["id"] + 10, image_id=2) for a in content["annotations"]]
    content["annotations"] += again
    dataset.write_text(json.dumps(content))
    return dataset


def test_labels_prints_and_draws(two_images, tmp_path, capsys):
    pair = [str(two_images), str(two_images.parent)]
    plot = tmp_path / "plot.png"
    bench_quality.main(["colours", "--fit", *pair, "--test", *pair, "--plot", str(plot)])
    printed = capsys.readouterr().out
    assert "QualityModel(bias=" in printed
    assert printed.count(f"/{two_images.stem} ") == 2
    assert plot.is_file()


def test_a_set_that_cannot_be_halved(dataset):
    with pytest.raises(ValueError, match="at least 2 images"):
        bench_quality.main(["colours", "--fit", str(dataset), str(dataset.parent)])


def test_the_fit_finds_the_weights_that_made_the_data():
    generator = torch.Generator().manual_seed(0)
    signals = {name: torch.rand(4000, generator=generator) for name in ("a", "b", "noise")}
    truth = QualityModel(1.2, dict(a=0.8, b=0.3))
    ious = truth(signals).numpy()
    found = bench_quality.fit([bench_quality.Ratings("made up", signals, ious, ious)], [*signals])
    assert found.bias == pytest.approx(truth.bias, abs=0.05)
    assert found.weights.get("noise", 0) < 0.02
    for name, weight in truth.weights.items():
        assert found.weights[name] == pytest.approx(weight, abs=0.05)


def test_bins_of_a_calibrated_quality_lie_on_the_diagonal():
    quality = np.linspace(0.3, 0.9, 50)
    rating = bench_quality.Ratings("x", {}, quality, quality)
    assert rating.correlation == pytest.approx(1)
    assert [one for one, _ in rating.bins] == pytest.approx([value for _, value in rating.bins])
