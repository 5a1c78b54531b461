"""PCKMetric against naive loops of each protocol: resize, measure, compare, average."""

from __future__ import annotations

import math
import pickle
from collections import defaultdict
from statistics import fmean

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import Evaluator

from mmdet_discobox.evaluation import PROTOCOLS, PCKMetric, pck_metric

ALPHAS = (0.05, 0.1, 0.15)


def long_side(side):
    return lambda x, y, w, h: (x * side / max(w, h), y * side / max(w, h))


def squashed(side):
    return lambda x, y, w, h: (x * side / w, y * side / h)


def padded(side):
    def place(x, y, w, h):
        scale = side / max(w, h)
        left, top = int((side - round(scale * w)) / 2), int((side - round(scale * h)) / 2)
        return x * scale + left, y * scale + top

    return place


def original(x, y, w, h):
    return x, y


#: name -> how it places points, side of its image, image compared in, strict, average
LITERAL = {
    "scot": (long_side(300), 300, "target", False, "pairs"),
    "dhpf": (squashed(240), 240, "target", False, "pairs"),
    "ncnet": (squashed(224), 224, "source", False, "pairs"),
    "ncnet_pf": (original, None, "source", False, "pairs"),
    "cats": (squashed(256), 256, "source", False, "pairs"),
    "sd_dino": (padded(840), 840, "target", True, "classes_by_pairs"),
    "geoaware": (padded(840), 840, "target", True, "pairs"),
    "dift": (original, None, "target", False, "pairs"),
}
LENGTH = {"ncnet_pf": "keypoints", "dift": "bbox"}


def literal_hits(sample, name, length_kind, alpha):
    """Correctness of each visible key point."""
    place, side, where, strict, _ = LITERAL[name]
    w, h = sample[f"{where}_size"]
    counted = [k for k, seen in enumerate(sample["visible"]) if seen]
    truth = [place(*sample[f"{where}_points"][k], w, h) for k in counted]
    guess = [place(*sample["predicted_points"][k], w, h) for k in counted]
    box = sample[f"{where}_box"]
    corners = [place(*box[:2], w, h), place(*box[2:], w, h)]
    if length_kind == "img":
        length = max(w, h) if side is None else side
    else:
        extent = corners if length_kind == "bbox" else truth
        length = max(max(p[i] for p in extent) - min(p[i] for p in extent) for i in (0, 1))
    distances = [math.dist(p, q) for p, q in zip(truth, guess, strict=True)]
    return [d < alpha * length if strict else d <= alpha * length for d in distances]


def literal_average(hits, average):
    """Average of ``[(class, hits)]``."""
    by_class = defaultdict(list)
    for name, values in hits:
        by_class[name].append(values)
    of_class = {name: fmean(sum(lists, [])) for name, lists in by_class.items()}
    if average == "pairs":
        return fmean(fmean(values) for _, values in hits)
    if average == "points":
        return fmean(value for _, values in hits for value in values)
    if average == "classes":
        return fmean(of_class.values())
    return sum(of_class[n] * len(lists) for n, lists in by_class.items()) / len(hits)


def random_sample(rng, num_points=6):
    sample = {"class_name": str(rng.choice(["cat", "cow", "dog"], p=[0.5, 0.3, 0.2]))}
    for side in ("source", "target"):
        size = rng.integers(100, 500, 2)
        points = rng.random((num_points, 2)) * size
        corners = np.sort(rng.random((2, 2)) * size, axis=0)
        sample[f"{side}_size"] = tuple(size.tolist())
        sample[f"{side}_points"] = points
        sample[f"{side}_box"] = corners.reshape(-1)
    sample["visible"] = rng.random(num_points) < 0.6
    return sample


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    samples = [random_sample(rng) for _ in range(60)]
    samples[7]["visible"][:] = False
    return [sample for sample in samples if sample["visible"].any()] + [samples[7]]


def predicted(samples, where):
    rng = np.random.default_rng(1)
    noise = [rng.normal(0, 25, sample["target_points"].shape) for sample in samples]
    truth = [sample[f"{where}_points"] for sample in samples]
    return [
        {**sample, "predicted_points": points + offsets}
        for sample, points, offsets in zip(samples, truth, noise, strict=True)
    ]


def evaluate(samples, *args, **kwargs):
    metric = PCKMetric(*args, alphas=ALPHAS, **kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize("length", ["img", "bbox", "keypoints", None])
@pytest.mark.parametrize("name", sorted(LITERAL))
def test_protocols_equal_naive_implementations(samples, name, length):
    _, _, where, _, average = LITERAL[name]
    samples = predicted(samples, where)
    kind = length or LENGTH.get(name, "img")
    found = evaluate(samples, name, length=length)
    counted = [sample for sample in samples if sample["visible"].any()]
    for alpha in ALPHAS:
        hits = [(s["class_name"], literal_hits(s, name, kind, alpha)) for s in counted]
        assert 0.02 < fmean(value for _, values in hits for value in values) < 0.98
        expected = literal_average(hits, average)
        assert found[f"correspondence/PCK@{alpha:g}"] == pytest.approx(expected, abs=1e-12)
        for name_ in ("cat", "cow", "dog"):
            own = [item for item in hits if item[0] == name_]
            expected = literal_average(own, "pairs" if average == "pairs" else "points")
            key = f"correspondence/PCK@{alpha:g}/{name_}"
            assert found[key] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("average", ["pairs", "points", "classes", "classes_by_pairs"])
def test_averages(samples, average):
    samples = predicted(samples, "target")
    counted = [sample for sample in samples if sample["visible"].any()]
    hits = [(s["class_name"], literal_hits(s, "scot", "img", 0.1)) for s in counted]
    found = evaluate(samples, average=average)["correspondence/PCK@0.1"]
    assert found == pytest.approx(literal_average(hits, average), abs=1e-12)


def test_every_protocol_is_tested():
    assert PROTOCOLS.keys() == LITERAL.keys()


def test_strict_excludes_the_threshold():
    sample = random_sample(np.random.default_rng(0))
    sample |= {"target_size": (500, 375), "visible": np.ones(6, bool), "class_name": "cat"}
    sample["target_points"] = np.zeros((6, 2))
    sample["predicted_points"] = np.tile([[50.0, 0.0]], (6, 1))
    assert evaluate([sample], "scot")["correspondence/PCK@0.1"] == 1
    assert evaluate([sample], "geoaware")["correspondence/PCK@0.1"] == 0
    assert evaluate([sample], "geoaware", strict=False)["correspondence/PCK@0.1"] == 1


def test_perfect_points_are_all_correct_and_missing_ones_are_wrong(samples):
    perfect = [{**s, "predicted_points": s["target_points"]} for s in samples]
    lost = [{**s, "predicted_points": np.full_like(s["target_points"], np.nan)} for s in samples]
    assert set(evaluate(perfect).values()) == {1.0}
    assert set(evaluate(lost).values()) == {0.0}


def test_invariant_to_order_and_batches(samples):
    samples = predicted(samples, "target")
    metric = PCKMetric(alphas=ALPHAS)
    for sample in reversed(samples):
        metric.process(None, [sample])
    found = metric.evaluate(len(samples))
    assert found == pytest.approx(evaluate(samples), abs=1e-12)


def test_results_are_small_and_can_be_collected(samples):
    metric = PCKMetric(alphas=ALPHAS)
    metric.process(None, predicted(samples, "target"))
    assert len(metric.results) == len(samples)
    assert len(pickle.dumps(metric.results)) < 40 * len(samples)


def test_tensors_and_mmengine_s_evaluator(samples):
    samples = predicted(samples, "target")
    tensors = [
        {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in s.items()}
        for s in samples
    ]
    config = dict(type="PCKMetric", protocol="dhpf", alphas=ALPHAS, prefix="pf")
    assert isinstance(METRICS.build(config), PCKMetric)
    evaluator = Evaluator(config)
    evaluator.process(data_samples=tensors)
    expected = evaluate(samples, "dhpf")
    found = evaluator.evaluate(len(samples))
    assert found == {f"pf/{key.split('/', 1)[1]}": value for key, value in expected.items()}


def test_pairs_without_visible_points_give_nan_and_a_warning(monkeypatch):
    lines = []
    monkeypatch.setattr(pck_metric, "print_log", lambda text, **_: lines.append(text))
    sample = {**random_sample(np.random.default_rng(0)), "class_name": "cat"}
    sample |= {"visible": np.zeros(6, bool), "predicted_points": np.zeros((6, 2))}
    found = evaluate([sample])
    assert found.keys() > {"correspondence/PCK@0.1", "correspondence/PCK@0.1/cat"}
    assert all(map(math.isnan, found.values()))
    assert lines[0].startswith("1 of 1 pairs have no key point")
    assert all(map(math.isnan, PCKMetric(average="classes").compute_metrics([]).values()))


def test_sizes_and_boxes_are_required_only_if_used():
    keys = ("class_name", "visible", "target_points")
    sample = {key: random_sample(np.random.default_rng(0))[key] for key in keys}
    sample["predicted_points"] = sample["target_points"]
    assert evaluate([sample], "scot", length="keypoints")["correspondence/PCK@0.1"] == 1
    with pytest.raises(ValueError, match="measured by length='img', but got None"):
        evaluate([sample], "scot")
    with pytest.raises(ValueError, match="measured by length='bbox', but got None"):
        evaluate([sample], "dift")
    with pytest.raises(ValueError, match="Expected `size` of the image for resize='square'"):
        evaluate([sample], "dhpf")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"predicted_points": np.zeros((5, 2))}, r"same shape \(K, 2\), but got \(5, 2\)"),
        ({"visible": np.ones(5, bool)}, r"`visible` of shape \(6,\), but got \(5,\)"),
    ],
)
def test_rejects_wrong_samples(change, match):
    sample = random_sample(np.random.default_rng(0))
    sample = {**sample, "predicted_points": sample["target_points"], **change}
    with pytest.raises(ValueError, match=match):
        evaluate([sample])


def test_rejects_a_sample_without_a_prediction():
    sample = random_sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match="but predicted_points is missing"):
        evaluate([sample])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(protocol="pascal"), r"`protocol` to be one of .*'scot'.* but got 'pascal'"),
        (dict(resize="padded"), "`resize` to be one of"),
        (dict(length="box"), "`length` to be one of"),
        (dict(average="images"), "`average` to be one of"),
        (dict(compared_in="both"), "`compared_in` to be one of"),
        (dict(alphas=()), "`alphas` above 0"),
        (dict(alphas=(0.1, 0.0)), "`alphas` above 0"),
    ],
)
def test_rejects_wrong_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        PCKMetric(**arguments)
