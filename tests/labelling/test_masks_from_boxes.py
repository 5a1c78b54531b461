"""Masks for the boxes of any detector."""

from __future__ import annotations

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmcv.transforms import TestTimeAug as Views
from mmdet.apis import inference_detector
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.structures import InstanceData
from tiny import NORM, TASK_NETWORKS, batch, build, tiny_labeler, tiny_solov2
from tiny_detectors import DETECTORS, build_detector, tiny_faster_rcnn

from mmdet_discobox.apis import AutoLabeler, BoxedImage
from mmdet_discobox.labelling import MasksFromBoxes

CLASSES = ("one", "two", "three")
PREPROCESSOR = tiny_solov2().data_preprocessor
each_detector = pytest.mark.parametrize("config", DETECTORS.values(), ids=DETECTORS)


def wrap(detector, seed=0, **kwargs):
    torch.manual_seed(seed)
    settings = dict(labeler="colours", min_score=0.0, **kwargs)
    return build_detector(dict(type="MasksFromBoxes", detector=detector, **settings)).eval()


def predict(model, data, **kwargs):
    data = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        samples = model.predict(data["inputs"], data["data_samples"], **kwargs)
    return [sample.pred_instances for sample in samples]


class KnownBoxes(BaseDetector):
    """A detector that finds given boxes: for each size of an original image those of one image."""

    def __init__(self, found, data_preprocessor=PREPROCESSOR):
        super().__init__(data_preprocessor)
        self.found = found

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        for sample in batch_data_samples:
            boxes, labels, scores = (torch.as_tensor(x) for x in self.found[sample.ori_shape[:2]])
            boxes = boxes.float().reshape(-1, 4)
            if sample.get("flip"):
                boxes = boxes[:, [2, 1, 0, 3]]
                boxes[:, ::2] = sample.ori_shape[1] - boxes[:, ::2]
            if not rescale:
                boxes = boxes * torch.tensor(sample.scale_factor).float().repeat(2)
            sample.pred_instances = InstanceData(
                bboxes=boxes, labels=labels.long(), scores=scores.float()
            )
        return batch_data_samples

    def loss(self, batch_inputs, batch_data_samples):
        return {}

    def _forward(self, batch_inputs, batch_data_samples=None):
        return batch_inputs

    def extract_feat(self, batch_inputs):
        return (batch_inputs,)


def scene(*, size=(80, 120), seed=0):
    """Two bright discs on a dark ground, BGR, with their masks and tight boxes."""
    height, width = size
    masks = np.zeros((2, *size), np.uint8)
    cv2.circle(masks[0], (width // 4, height // 2), min(size) // 4, 1, -1)
    cv2.circle(masks[1], (3 * width // 4, height // 3), min(size) // 6, 1, -1)
    image = np.full((*size, 3), (40, 60, 50), np.uint8)
    image[masks.any(0)] = (60, 90, 220)
    noise = np.random.default_rng(seed).integers(-6, 7, image.shape)
    spans = [[np.flatnonzero(mask.any(axis)) for axis in (0, 1)] for mask in masks]
    boxes = [[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in spans]
    return (image + noise).clip(0, 255).astype(np.uint8), masks > 0, boxes


def loaded(images, *transforms):
    """A batch as a loader with a test pipeline gives it."""
    keys = ("ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")
    pipeline = Compose([*transforms, dict(type="mmdet.PackDetInputs", meta_keys=keys)])
    shapes = [image.shape[:2] for image in images]
    data = [
        pipeline(dict(img=image, img_shape=shape, ori_shape=shape))
        for image, shape in zip(images, shapes, strict=True)
    ]
    return {key: [each[key] for each in data] for key in ("inputs", "data_samples")}


RESIZE = dict(type="mmdet.Resize", scale=(200, 150), keep_ratio=True)
FLIP = dict(type="mmdet.RandomFlip", prob=1.0)
PAD = dict(type="mmdet.Pad", size=(256, 224), pad_val=dict(img=(114, 114, 114)))


def iou(mask, truth):
    mask, truth = np.asarray(mask), np.asarray(truth)
    return (mask & truth).sum() / (mask | truth).sum()


@each_detector
def test_boxes_labels_scores_and_losses_are_the_detectors(config):
    model, data = wrap(config()), batch((2, 1))
    ours, theirs = predict(model, data), predict(model.detector, data)
    for with_masks, without in zip(ours, theirs, strict=True):
        for key in ("bboxes", "labels", "scores"):
            assert torch.equal(with_masks[key], without[key]), key
        assert with_masks.masks.dtype == torch.bool
        assert with_masks.masks.shape == (len(without), 96, 96)
        sides = without.bboxes[:, 2:] - without.bboxes[:, :2]
        assert len(without) > 0
        assert torch.equal(with_masks.masks.flatten(1).any(1), (sides > 0).all(1))

    losses = []
    for each in (model, model.detector):
        torch.manual_seed(0)
        inputs = each.data_preprocessor(copy.deepcopy(data), True)
        losses.append(each.train()(**inputs, mode="loss"))
        assert all(torch.equal(x, y) for x, y in zip(
            each.extract_feat(inputs["inputs"]), model.detector.extract_feat(inputs["inputs"]),
            strict=True,
        ))  # fmt: skip
    totals = [model.parse_losses(each)[0] for each in losses]
    assert losses[0].keys() == losses[1].keys()
    assert torch.equal(*totals)
    totals[0].backward()
    assert model.detector.backbone is model.backbone
    assert model.with_neck
    assert not hasattr(model, "no_such_part")


@each_detector
def test_checkpoints_of_the_detector_and_of_the_wrapper_load(config, tmp_path):
    torch.manual_seed(1)
    plain = build_detector(config())
    save_checkpoint(dict(state_dict=plain.state_dict()), str(tmp_path / "plain.pth"))
    wrapped = wrap(config())
    load_checkpoint(wrapped, str(tmp_path / "plain.pth"), strict=True)
    expected = {f"detector.{key}": value for key, value in plain.state_dict().items()}

    def same(state):
        return state.keys() == expected.keys() and all(
            torch.equal(state[key], value) for key, value in expected.items()
        )

    assert same(wrapped.state_dict())
    save_checkpoint(dict(state_dict=wrapped.state_dict()), str(tmp_path / "wrapped.pth"))
    for source in ("wrapped.pth", "plain.pth"):
        other = wrap(config(), seed=2)
        assert not same(other.state_dict())
        other.load_state_dict(torch.load(tmp_path / source, weights_only=True)["state_dict"])
        assert same(other.state_dict())
    average = ExponentialMovingAverage(wrap(config(), seed=2))  # as mmengine's `EMAHook`
    state = ExponentialMovingAverage(plain).state_dict()
    assert average.load_state_dict(state).missing_keys == []
    assert same(average.module.state_dict())


def test_missing_and_unexpected_keys_are_reported():
    model = wrap(tiny_faster_rcnn())
    state = {f"x.{key}": value for key, value in model.detector.state_dict().items()}
    first = next(iter(model.detector.state_dict()))
    state[first] = state.pop(f"x.{first}")
    report = model.load_state_dict(state, strict=False)
    assert f"detector.{first}" not in report.missing_keys
    counters = [key for key in state if key.endswith("num_batches_tracked")]  # torch adds zeros
    assert len(report.missing_keys) == len(state) - len(counters) - 1
    assert report.unexpected_keys[0].startswith("detector.x.")


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize(
    "transforms",
    [[], [RESIZE], [RESIZE, FLIP], [RESIZE, PAD], [FLIP, RESIZE, PAD]],
    ids=["plain", "resized", "flipped", "padded", "all"],
)
@pytest.mark.parametrize("to_rgb", [True, False])
def test_colours_alone_find_discs(transforms, rescale, to_rgb):
    image, truths, boxes = scene()
    preprocessor = {**PREPROCESSOR, "bgr_to_rgb": to_rgb}
    detector = KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.4])}, preprocessor)
    data = loaded([image], *transforms)
    sample = data["data_samples"][0]
    if rescale is False and not transforms:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    (found,) = predict(wrap(detector), data, rescale=rescale)
    if FLIP in transforms:
        truths = truths[:, :, ::-1]
    if not rescale:
        height, width = (80, 120) if transforms == [] or RESIZE not in transforms else (133, 200)
        truths = np.stack([
            cv2.resize(truth.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            for truth in truths
        ]) > 0  # fmt: skip
        assert not found.masks[:, height:].any()
        assert not found.masks[:, :, width:].any()
        assert found.masks.shape[1:] == sample.img_shape[:2]
        found.masks = found.masks[:, :height, :width]
    assert found.masks.shape == truths.shape
    for mask, truth in zip(found.masks, truths, strict=True):
        assert iou(mask, truth) > 0.9


@pytest.mark.parametrize("name", [None, "classless", *TASK_NETWORKS])
def test_masks_are_those_of_the_auto_labeler(name):
    image, _, boxes = scene()
    labeler = AutoLabeler()
    if name is not None:
        networks = dict(TASK_NETWORKS, classless=lambda: tiny_labeler(num_classes=None))
        transforms = [TRANSFORMS.build(dict(type="Resize", scale=(96, 96), keep_ratio=True))]
        labeler = AutoLabeler(build(networks[name]()), transforms=transforms, classes=CLASSES)
    detector = KnownBoxes({(80, 120): (boxes, [2, 0], [0.9, 0.4])})
    model = wrap(detector, classes=CLASSES, grow=0.0)
    model.labeler.on = lambda device: labeler
    names = ["three", "one"]
    expected = labeler([BoxedImage(image, np.array(boxes), names)])[0]
    (found,) = predict(model, loaded([image]))
    for mask, other in zip(found.masks, expected, strict=True):
        assert np.array_equal(mask.numpy(), other.full((80, 120)))


def test_masks_do_not_depend_on_the_batch_or_on_other_boxes():
    sizes = [(80, 120), (120, 72), (64, 64)]
    scenes = [scene(size=size, seed=seed) for seed, size in enumerate(sizes)]
    found = {
        size: (boxes, [0, 1], [0.9, 0.4]) for size, (_, _, boxes) in zip(sizes, scenes, strict=True)
    }
    model = wrap(KnownBoxes(found))
    images = [image for image, _, _ in scenes]
    together = predict(model, loaded(images, RESIZE))
    for image, expected in zip(images, together, strict=True):
        (alone,) = predict(model, loaded([image], RESIZE))
        assert torch.equal(alone.masks, expected.masks)
    one = {size: (boxes[:1], [0], [0.9]) for size, (boxes, _, _) in found.items()}
    (first,) = predict(wrap(KnownBoxes(one)), loaded(images[:1], RESIZE))
    assert torch.equal(first.masks[0], together[0].masks[0])


def test_views_of_test_time_augmentation_are_merged():
    """Masks of an image and its mirror image, whose boxes are found in both."""
    image, truth, boxes = scene()
    model = wrap(KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.8])}))
    pack = dict(
        type="mmdet.PackDetInputs",
        meta_keys=("ori_shape", "img_shape", "scale_factor", "flip", "flip_direction"),
    )
    views = Views([[RESIZE], [dict(FLIP, prob=0.0), FLIP], [pack]])
    data = views(dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2]))
    tta = MODELS.build(dict(type="InstanceTTAModel", module=model))
    (sample,) = tta.test_step(pseudo_collate([data]))
    merged = sample.pred_instances
    assert merged.labels.tolist() == [0, 1]
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])
    for mask, true in zip(merged.masks, truth, strict=True):
        assert iou(mask, true) > 0.9


def test_low_scores_and_boxes_without_area_have_empty_masks():
    image, _, boxes = scene()
    odd = [[130.0, 10, 150, 30], [20, 20, 20, 40], [float("nan")] * 4, [50.1, 20.1, 50.3, 60]]
    scores = [0.05, 0.04, 0.9, 0.9, 0.9, 0.9]
    found = {(80, 120): ([*boxes, *odd], [0] * 6, scores)}
    model = wrap(KnownBoxes(found))
    model.min_score = 0.05
    (result,) = predict(model, loaded([image], RESIZE))
    assert result.masks.flatten(1).any(1).tolist() == [True, False, False, False, False, True]


def test_no_detections():
    image, _, _ = scene()
    model = wrap(KnownBoxes({(80, 120): (torch.zeros(0, 4), torch.zeros(0), torch.zeros(0))}))
    for rescale, size in ((True, (80, 120)), (False, (133, 200))):
        (found,) = predict(model, loaded([image], RESIZE), rescale=rescale)
        assert found.masks.shape == (0, *size)
        assert found.masks.dtype == torch.bool


def test_boxes_are_grown():
    image, _, _ = scene()
    model = wrap(KnownBoxes({(80, 120): ([[20.0, 20, 60, 60]], [0], [1.0])}), grow=0.1)
    labeler, asked = AutoLabeler(), []
    own = labeler.label_tensor
    labeler.label_tensor = lambda rgb, boxes, *args, **kwargs: (
        asked.append((rgb, boxes)) or own(rgb, boxes, *args, **kwargs)
    )
    model.labeler.on = lambda device: labeler
    predict(model, loaded([image]))
    assert asked[0][1].tolist() == [[16, 16, 64, 64]]
    assert torch.equal(asked[0][0], torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1))


def test_many_detections_are_labelled_in_chunks():
    image, _, boxes = scene()
    model = wrap(KnownBoxes({(80, 120): (boxes * 20, [0] * 40, [0.9] * 40)}))
    labeler, sizes = AutoLabeler(max_objects=16), []
    teacher = labeler.teacher.second.refine_grids
    labeler.teacher.second.refine_grids = lambda coarse, *args, **kwargs: (
        sizes.append(len(coarse)) or teacher(coarse, *args, **kwargs)
    )
    model.labeler.on = lambda device: labeler
    (found,) = predict(model, loaded([image]))
    assert sizes == [16, 16, 8]
    assert all(torch.equal(mask, found.masks[i % 2]) for i, mask in enumerate(found.masks))


def test_mixed_precision_changes_little():
    image, truths, boxes = scene()
    model = wrap(KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.4])}))
    labeler = AutoLabeler(build(tiny_labeler(num_classes=None)))
    for each in (AutoLabeler(), labeler):
        model.labeler.on = lambda device, each=each: each
        (full,) = predict(model, loaded([image], RESIZE))
        with torch.autocast("cpu", torch.bfloat16):
            (half,) = predict(model, loaded([image], RESIZE))
        assert all(iou(x, y) > 0.9 for x, y in zip(full.masks, half.masks, strict=True))


@pytest.fixture
def files(tmp_path):
    """Config and checkpoint of a labeller with classes."""
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackDetInputs")]
    config = Config(
        dict(
            default_scope="mmdet",
            model=tiny_labeler(mask_head=dict(
                type="BoxMaskHead", num_classes=3, in_channels=16, feat_channels=16, norm_cfg=NORM
            )),
            test_dataloader=dict(dataset=dict(type="CocoDataset", pipeline=pipeline)),
        )
    )  # fmt: skip
    config.dump(tmp_path / "config.py")
    meta = dict(dataset_meta=dict(classes=CLASSES))
    state = build(config.model).state_dict()
    save_checkpoint(dict(state_dict=state, meta=meta), str(tmp_path / "labeler.pth"))
    return dict(config=str(tmp_path / "config.py"), checkpoint=str(tmp_path / "labeler.pth"))


def test_a_labeller_of_ones_own_is_built_once_and_is_no_part_of_the_model(files):
    image, _, boxes = scene()
    found = {(80, 120): (boxes, [0, 1], [0.9, 0.4])}
    model = MasksFromBoxes(KnownBoxes(found), dict(files, max_objects=1), classes=CLASSES).eval()
    keys = model.state_dict().keys()
    (first,) = predict(model, loaded([image]))
    labeler = model.labeler.on(torch.device("cpu"))
    assert labeler is model.labeler.on(torch.device("cpu"))
    assert labeler.max_objects == 1
    assert labeler.labels == dict(one=0, two=1, three=2)
    assert model.state_dict().keys() == keys
    assert not any(module is labeler.predictor.model for module in model.modules())
    model.train()
    assert not labeler.predictor.model.training
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.labeler._built is None
        (again,) = predict(other.eval(), loaded([image]))
        assert torch.equal(first.masks, again.masks)
        assert other.labeler.on(torch.device("cpu")) is not labeler


def test_another_device_builds_the_labeler_again(monkeypatch):
    devices = []
    monkeypatch.setattr(
        AutoLabeler,
        "shipped",
        classmethod(lambda cls, device, **kwargs: devices.append(device) or cls()),
    )
    model = MasksFromBoxes(KnownBoxes({}))
    for device in ("cpu", "cpu", "meta", "cpu"):
        assert isinstance(model.labeler.on(torch.device(device)), AutoLabeler)
    assert devices == ["cpu", "meta", "cpu"]


def test_building_the_labeler_changes_no_state_of_the_training():
    image, _, boxes = scene()
    model = MasksFromBoxes(KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.4])})).eval()
    scope = DefaultScope.get_instance("of the training", scope_name="mmengine")
    before = torch.get_rng_state()
    try:
        predict(model, loaded([image], RESIZE))
        assert torch.equal(torch.get_rng_state(), before)
        assert DefaultScope.get_current_instance().instance_name == scope.instance_name
    finally:
        DefaultScope.get_instance("of the tests", scope_name="mmdet")


def test_the_shipped_labeler_finds_discs():
    image, truths, boxes = scene()
    model = MasksFromBoxes(KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.4])})).eval()
    (found,) = predict(model, loaded([image], RESIZE))
    assert all(iou(*pair) > 0.9 for pair in zip(found.masks, truths, strict=True))


def test_classes_are_known_by_name(files):
    image, _, boxes = scene()
    found = {(80, 120): (boxes, [4, 0], [0.9, 0.4])}
    model = MasksFromBoxes(KnownBoxes(found), files).eval()
    asked = []
    labeler = model.labeler.on(torch.device("cpu"))
    own = labeler.label_tensor
    labeler.label_tensor = lambda rgb, boxes, classes, **kwargs: (
        asked.append(classes) or own(rgb, boxes, classes, **kwargs)
    )
    with pytest.raises(ValueError, match=r"class 4.*got 0 names. Set `model.classes`"):
        predict(model, loaded([image]))
    model.dataset_meta = dict(classes=("two", "x", "y", "z", "unknown"))
    predict(model, loaded([image]))
    model.classes = ["one", "x", "y", "z", "three"]
    predict(model, loaded([image]))
    assert asked == [["unknown", "two"], ["three", "one"]]


def test_inference_detector_finds_the_names_in_the_meta(files, tmp_path):
    image, _, boxes = scene()
    model = MasksFromBoxes(KnownBoxes({(80, 120): (boxes, [0, 1], [0.9, 0.4])}), files).eval()
    pipeline = [
        dict(type="LoadImageFromFile"),
        RESIZE,
        dict(type="PackDetInputs", meta_keys=("ori_shape", "img_shape", "scale_factor")),
    ]
    model.cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    model.dataset_meta = dict(classes=CLASSES)
    assert inference_detector(model, image).pred_instances.masks.shape == (2, 80, 120)


def test_wrong_input(tmp_path, files):
    with pytest.raises(ValueError, match="`grow` to be at least 0 but got -1"):
        MasksFromBoxes(KnownBoxes({}), grow=-1)
    with pytest.raises(ValueError, match=r"got \['config'\]"):
        MasksFromBoxes(KnownBoxes({}), dict(config="config.py"))
    with pytest.raises(ValueError, match=r"None, 'colours' or dict\(config=.*'colors'"):
        MasksFromBoxes(KnownBoxes({}), "colors")
    with pytest.raises(FileNotFoundError, match="labeler.checkpoint"):
        MasksFromBoxes(KnownBoxes({}), dict(files, checkpoint="no.pth"))
