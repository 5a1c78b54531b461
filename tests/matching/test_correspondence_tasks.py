"""From an item of a benchmark to the sample that its metric judges, and mmdet's test script."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, save_checkpoint
from tiny import build, tiny_solov2
from tiny_matching import PIPELINE, inferencer_of, shifted, texture

from mmdet_discobox.datasets.pairs import KeypointImage, KeypointPair
from mmdet_discobox.evaluation import MultiObjectCorrespondenceMetric, PCKMetric
from mmdet_discobox.matching import (
    CorrespondenceModel,
    DescribedObjects,
    KeypointTransfer,
    MultiObjectMatching,
    build_matcher,
)
from mmdet_discobox.matching.descriptor_cache import DescriptorCache

SHIFT = np.array([12.0, 6.0])
POINTS = np.array([[30.0, 40.0], [50.0, 44.0], [40.0, 60.0], [np.nan, 0.0]])
BOX = np.array([16.0, 24.0, 64.0, 72.0])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """An image and a shifted copy."""
    folder = tmp_path_factory.mktemp("pair")
    cv2.imwrite(str(folder / "a.png"), texture())
    cv2.imwrite(str(folder / "b.png"), shifted(texture(), *SHIFT.astype(int)))
    visible = ~np.isnan(POINTS[:, 0])
    source = KeypointImage(folder / "a.png", POINTS, visible, BOX)
    target = KeypointImage(folder / "b.png", POINTS + SHIFT, visible, BOX + np.tile(SHIFT, 2))
    return KeypointPair("a-b", "one", source, target)


@pytest.fixture(scope="module")
def describe():
    return inferencer_of(tiny_solov2(), size=12).describe


@pytest.mark.parametrize("boxes", ["annotated", "image"])
@pytest.mark.parametrize("compared_in", ["target", "source"])
def test_key_points_of_a_shifted_picture(describe, pair, boxes, compared_in):
    task = KeypointTransfer(describe, boxes=boxes, compared_in=compared_in)
    sample = task(pair, build_matcher("icm"))
    truth = getattr(pair, compared_in).points
    errors = np.linalg.norm(sample["predicted_points"] - truth, axis=1)
    assert np.median(errors[:3]) < 3
    assert np.isnan(sample["predicted_points"][3]).all()
    metric = PCKMetric("cats" if compared_in == "source" else "scot")
    metric.process(None, [sample])
    assert metric.evaluate(1)["correspondence/PCK@0.15"] == 1


def test_points_in_the_other_image_than_the_protocols_are_refused(describe, pair):
    """They would be compared with the points of another image."""
    sample = KeypointTransfer(describe)(pair, build_matcher("identity"))
    message = "transferred to the source, .* in the target. Set compared_in='source' of the Key"
    with pytest.raises(ValueError, match=message):
        PCKMetric("cats").process(None, [sample])
    PCKMetric("cats", compared_in="target").process(None, [sample])


def test_identity_keeps_pixels_exactly(describe, pair):
    """Half pixels go in and come out: whole images of one size, so nothing may move."""
    task = KeypointTransfer(describe, boxes="image")
    sample = task(pair, build_matcher("identity"))
    np.testing.assert_allclose(sample["predicted_points"][:3], POINTS[:3], atol=1e-4)


def fake_describer(calls, **found):
    """Objects as a detector might give them, without one."""

    def describe(path, boxes, labels):
        calls.append((path, boxes, labels))
        values = found if boxes is None else dict(boxes=boxes, labels=labels)
        count = len(values["boxes"])
        features = torch.randn(64, 6, 6, generator=torch.Generator().manual_seed(0))
        return DescribedObjects(
            boxes=torch.tensor(values["boxes"]).float().view(-1, 4),
            labels=torch.tensor(values["labels"]),
            scores=torch.tensor(values.get("scores", [1.0] * count)),
            features=features.expand(count, -1, -1, -1),
            masks=torch.ones(count, 6, 6),
        ), None

    return describe


def test_the_best_detection_of_the_class_is_taken(pair):
    calls = []
    other, worse, best = [0, 0, 96, 96], [0, 0, 50, 50], [8, 16, 72, 80]
    describe = fake_describer(
        calls, boxes=[other, worse, best], labels=[1, 0, 0], scores=[0.9, 0.4, 0.6]
    )
    task = KeypointTransfer(describe, classes=("one", "two"), boxes="detected")
    assert task._object(pair.source, "one").boxes.tolist() == [best]
    assert task._object(pair.source, "two").boxes.tolist() == [other]
    assert len(calls) == 1  # the image is cached
    assert task._object(pair.source, "three").boxes.tolist() == [[0, 0, 96, 96]]
    assert calls[-1][2] == (-1,)  # the whole image has no class


def test_images_are_remembered_up_to_a_number_of_bytes():
    """One object: 64 x 6 x 6 features, 6 x 6 masks, a box and a score in 4 bytes, a label in 8."""
    size = 4 * (64 * 36 + 36 + 4 + 1) + 8
    calls, box, label = [], ((0.0, 0.0, 9.0, 9.0),), (0,)
    remembered = DescriptorCache(fake_describer(calls), limit=3 * size - 1)
    for path in "abaca":
        assert len(remembered(path, box, label)) == 1
        assert remembered.num_bytes <= 2 * size
    assert [path for path, *_ in calls] == ["a", "b", "c"]  # b made room for c, not a
    remembered("b", box, label)
    assert [path for path, *_ in calls] == ["a", "b", "c", "b"]
    remembered("a", box * 4, label * 4)  # larger than all the room: alone, and not for long
    assert remembered.num_bytes == 4 * size
    remembered("a", box, label)
    assert remembered.num_bytes == size


def test_the_size_of_the_cache_is_a_setting():
    calls = []
    task = KeypointTransfer(describe=fake_describer(calls), cache_bytes=0)
    for path in "aba":
        task._describe(path, [[0, 0, 9, 9]], [0])
    assert len(calls) == 3


def multi_object_sample():
    """Two objects of one class and one of another, the same in both images."""
    boxes = np.array([[10, 10, 50, 50], [60, 20, 100, 70], [20, 60, 50, 90]], np.float32)
    keypoints = boxes.reshape(-1, 2, 2).mean(1, keepdims=True) + np.array([[-8, -8], [8, 8]])
    side = dict(
        image="a.png",
        boxes=boxes,
        labels=np.array([0, 0, 1]),
        keypoints=keypoints,
        visible=np.ones((3, 2), bool),
    )
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 2]])
    return dict(
        source=side, target={**side, "image": "b.png"}, object_pairs=pairs, classes=("cat", "dog")
    )


def average_precision(sample):
    metric = MultiObjectCorrespondenceMetric()
    metric.process(None, [sample])
    return metric.evaluate(1)["multi_object/AP"]


def test_multi_object_matches_of_annotated_boxes():
    """All pairs that are to be scored are predicted, with labels of the data set."""
    task = MultiObjectMatching(fake_describer([]), classes=("dog",))
    sample = task(multi_object_sample(), build_matcher("identity"))
    pairs = sample["predicted_pairs"]
    assert [pair["label"] for pair in pairs] == [0, 0, 0, 0, 1]
    assert [pair["score"] for pair in pairs] == [1] * 5
    sample["object_pairs"] = np.array([[0, 0], [1, 1], [2, 2]])
    assert average_precision(sample) > 0.99
    sample["predicted_pairs"] = []
    assert average_precision(sample) == 0


def test_annotated_boxes_far_past_the_image_are_matched(describe, pair):
    """Less than half of the box is inside: the box that is described."""
    side = dict(
        image=pair.source.path,
        boxes=np.array([[-60.0, 10, 40, 60]]),
        labels=np.array([0]),
        keypoints=np.array([[[20.0, 20], [30, 40]]]),
        visible=np.ones((1, 2), bool),
    )
    sample = dict(source=side, target=side, object_pairs=np.array([[0, 0]]), classes=("one",))
    found = MultiObjectMatching(describe, classes=("one",))(sample, build_matcher("identity"))
    assert average_precision(found) == 1


def test_multi_object_matches_of_detections():
    truth = multi_object_sample()
    boxes = truth["source"]["boxes"].tolist()
    found = dict(labels=[2, 2, 0, 1], scores=[0.9, 0.5, 0.8, 0.99], boxes=[*boxes, [0, 0, 9, 9]])
    task = MultiObjectMatching(
        fake_describer([], **found), classes=("dog", "horse", "cat"), boxes="detected"
    )
    sample = task(truth, build_matcher("identity"))
    pairs = sample["predicted_pairs"]
    assert sorted((pair["label"], round(pair["score"], 3)) for pair in pairs) == [
        (0, 0.25), (0, 0.45), (0, 0.45), (0, 0.81), (1, 0.64),
    ]  # fmt: skip
    sample["object_pairs"] = np.array([[0, 0], [1, 1], [2, 2]])
    assert average_precision(sample) > 0.99


@pytest.mark.parametrize(("spread", "columns"), [("mask", 42), ("box", 84)])
def test_predictions_start_on_the_mask_or_all_over_the_box(spread, columns):
    describe = fake_describer([])

    def masked(*arguments):
        objects, _ = describe(*arguments)
        objects.masks[:, :, 3:] = 0
        return objects, None

    task = MultiObjectMatching(masked, spread=spread)
    for pair in task(multi_object_sample(), build_matcher("identity"))["predicted_pairs"]:
        left, right = pair["source_box"][[0, 2]]
        assert len(pair["correspondences"]) == pytest.approx(84 * columns, rel=0.01)
        end = left + (right - left) * columns / 84
        assert (pair["correspondences"][:, 0] < end + 0.5).all()


def test_choices_of_the_tasks(describe):
    with pytest.raises(ValueError, match="`boxes` to be one of .* but got 'mine'"):
        KeypointTransfer(describe, boxes="mine")
    with pytest.raises(ValueError, match="`compared_in` to be 'source' or 'target'"):
        KeypointTransfer(describe, compared_in="both")
    with pytest.raises(ValueError, match="several objects in an image"):
        MultiObjectMatching(describe, boxes="image")
    with pytest.raises(ValueError, match="`spread` to be one of .* but got 'cell'"):
        MultiObjectMatching(describe, spread="cell")
    task = MultiObjectMatching(describe, classes=("cow",), boxes="detected")
    with pytest.raises(ValueError, match=r"of some of \['cat'\], but its classes are \['cow'\]"):
        task._labels_in(["cat"])


def correspondence_model(**task):
    return dict(
        type="CorrespondenceModel",
        detector=tiny_solov2(),
        describer=dict(pipeline=PIPELINE, features=("backbone", 0), size=8),
        task=dict(type="KeypointTransfer", **task),
        matcher=dict(name="transport"),
    )


def test_a_detectors_checkpoint_fits(tmp_path):
    trained = build(tiny_solov2(), seed=5)
    path = tmp_path / "a.pth"
    save_checkpoint(dict(state_dict=trained.state_dict()), str(path))
    csv = tmp_path / "pairs.csv"
    points = ";".join(["20"] * 10)
    csv.write_text(f"source,target,class,XA,YA,XB,YB\na/x.png,a/y.png,a{4 * (',' + points)}\n")
    (tmp_path / "a").mkdir()
    for name in ("x", "y"):
        cv2.imwrite(str(tmp_path / "a" / f"{name}.png"), texture())
    dataset = dict(
        type="KeypointPairDataset", reader="pf_willow", pairs_csv=str(csv), root=str(tmp_path)
    )
    runner = Runner(
        model=ConfigDict(correspondence_model()),
        work_dir=str(tmp_path / "work"),
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        test_cfg=dict(type="TestLoop"),
        test_evaluator=dict(type="PCKMetric", length="img"),
        load_from=str(path),
        default_scope="mmdet",
        experiment_name=tmp_path.name,
    )
    metrics = runner.test()
    assert metrics["correspondence/PCK@0.1"] == 1  # an image and itself
    for name, weight in trained.state_dict().items():
        assert torch.equal(runner.model.state_dict()[f"detector.{name}"], weight), name


def test_a_checkpoint_of_its_own_fits_too():
    init_default_scope("mmdet")
    models = [CorrespondenceModel(**_arguments()) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict(), strict=True)
    weights = [next(model.detector.parameters()) for model in models]
    assert torch.equal(*weights)


def test_images_are_described_anew_with_other_weights(pair):
    init_default_scope("mmdet")
    models = [CorrespondenceModel(**_arguments()).eval() for _ in range(2)]
    weights = [build(tiny_solov2(), seed=seed).state_dict() for seed in (1, 2)]
    models[0].load_state_dict(dict(weights[0]), strict=False)
    first = models[0]([pair])[0]["predicted_points"]
    found = []
    for model in models:
        model.load_state_dict(dict(weights[1]), strict=False)
        found.append(model([pair])[0]["predicted_points"])
    np.testing.assert_array_equal(*found)
    assert not np.allclose(found[0], first, equal_nan=True)


def _arguments():
    arguments = correspondence_model()
    del arguments["type"]
    return arguments
