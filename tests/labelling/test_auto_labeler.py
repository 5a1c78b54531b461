from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops import DeformConv2d
from mmdet.registry import TRANSFORMS
from tiny import NETWORKS as TINY
from tiny import build, tiny_labeler, tiny_solov2

from mmdet_discobox.apis import AutoLabeler, BoxedImage
from mmdet_discobox.labelling import crop_masks
from mmdet_discobox.labelling.coarse_masks import ellipse_logits
from mmdet_discobox.structures import MaskProposals

CLASSES = ("one", "two", "three")
RESIZE = [dict(type="Resize", scale=(96, 96), keep_ratio=True)]


def disc(*, size=(80, 120), centre=(60, 40), radius=22):
    """A bright disc on a dark ground, and its mask."""
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, centre, radius, 1, -1)
    image = np.full((*size, 3), (40, 60, 50), np.uint8)
    image[mask > 0] = (60, 90, 220)
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), mask > 0


def tight_box(mask):
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return [cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def detector(config, **kwargs):
    model = build(config)
    transforms = [TRANSFORMS.build(transform) for transform in RESIZE]
    return AutoLabeler(model, transforms=transforms, classes=CLASSES, **kwargs)


NETWORKS = pytest.mark.parametrize("config", TINY.values(), ids=TINY)


def test_colours_alone_find_a_disc():
    image, truth = disc()
    (mask,) = AutoLabeler()([BoxedImage(image, np.array([tight_box(truth)]), ["x"])])[0]
    found = mask.full(truth.shape)
    assert iou(found, truth) > 0.9
    assert mask.quality > 0.7
    assert not mask.predicted
    # the disc covers pi / 4 of its box: it is not the box that was returned
    assert mask.window.mean() < 0.85


def test_quality_tells_a_disc_from_noise():
    image, truth = disc()
    noise = np.random.default_rng(1).integers(0, 255, image.shape, dtype=np.uint8)
    box = np.array([tight_box(truth)])
    images = [BoxedImage(pixels, box, ["x"]) for pixels in (image, noise)]
    good, bad = (masks[0].quality for masks in AutoLabeler()(images))
    assert 0 <= bad < good - 0.2 <= 1


ODD_BOXES = [
    [10, 10, 40.5, 30.5],
    [-30, -20, 12, 9],  # reaches past the image
    [100, 60, 400, 300],
    [0, 0, 120, 80],  # all of it
    [50.1, 20.1, 50.3, 60],  # thinner than a pixel
    [7.6, 9.6, 8.4, 10.4],  # around a corner of four pixels
    [119.7, 79.7, 120, 80],
]


@NETWORKS
def test_every_box_has_one_mask_inside_it(config):
    image, _ = disc()
    boxes = np.array(ODD_BOXES)
    names = ["one", "unknown", "two", "three", "one", "two", "three"]
    masks = detector(config())([BoxedImage(image, boxes, names)])[0]
    assert len(masks) == len(boxes)
    for (x1, y1, x2, y2), mask in zip(boxes, masks, strict=True):
        rows, cols = np.nonzero(mask.full(image.shape[:2]))
        assert len(rows)
        assert 0 <= mask.quality <= 1
        # centres lie in the box, but for a box that holds no centre: those of its middle
        for low, high, pixels in ((x1, x2, cols), (y1, y2, rows)):
            middle = np.floor((low + high) / 2)
            inside = (low <= pixels + 0.5) & (pixels + 0.5 < high)
            assert np.all(inside | (pixels == middle))
    assert not masks[1].predicted
    assert masks[0].predicted


@NETWORKS
def test_masks_do_not_depend_on_neighbours_or_batches(config):
    labeler = detector(config())
    rng = np.random.default_rng(0)
    images = []
    for size in ((80, 120), (96, 96), (80, 120)):
        image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        corners = rng.uniform(0, 40, (3, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (3, 2))], 1)
        images.append(BoxedImage(image, boxes, ["one", "two", "three"]))
    together = labeler(images)
    for image, masks in zip(images, together, strict=True):
        for ours, alone in zip(masks, labeler([image])[0], strict=True):
            assert np.array_equal(ours.window, alone.window)
            assert ours.quality == pytest.approx(alone.quality, abs=1e-4)


@NETWORKS
def test_a_crowd_of_boxes_is_done_in_chunks(config):
    image, truth = disc()
    boxes = np.array([tight_box(truth)] * 30 + [[5.0, 5, 25, 25]])
    masks = detector(config(), max_objects=8)([BoxedImage(image, boxes, ["one"] * 31)])[0]
    assert len(masks) == 31
    # all but one want the same cells and anchors, and each gets its turn
    assert all(mask.predicted for mask in masks)


class LeftHalf:
    """Instead of a network: its masks are whatever lies left of a column of its input."""

    def __init__(self, column, stride=4):
        self.column, self.stride, self.asked = column, stride, []

    def extract_feat(self, batch_inputs):
        return (batch_inputs,)

    def head_outputs(self, features):
        return None

    def assign(self, outputs, objects):
        self.asked.append(objects)
        return torch.arange(len(objects))

    def mask_proposals(self, outputs, positives, objects, frame, *, one_per_object):
        centres = (torch.arange(24) + 0.5) * self.stride
        logits = (self.column - centres).expand(len(objects), 24, 24)
        return MaskProposals(logits, positives, objects, self.stride)


def test_the_masks_are_the_networks_own():
    image = np.full((80, 120, 3), 90, np.uint8)  # nothing to see: colours have no opinion
    labeler = detector(tiny_solov2(structured_teacher=None, teacher_network=None))
    scale = 96 / 120  # the network sees an image of 96 x 64
    labeler.predictor.network = fake = LeftHalf(column=50 * scale)
    image = BoxedImage(image, np.array([[20.0, 10, 80, 70]]), ["two"])
    (mask,) = labeler([image])[0]
    assert fake.asked[0].boxes[0].tolist() == pytest.approx([16, 8, 64, 56])
    assert fake.asked[0].labels.tolist() == [1]
    left, right = np.split(mask.window, 2, axis=1)
    assert left.mean() > 0.95
    assert right.mean() < 0.8  # not 0: a tight box has foreground in each of its columns

    seen = labeler.predictor.extract([image])[0]
    objects = image.objects([1])
    start = labeler.predictor(seen, None, objects, objects.boxes, 60)
    # a cell is a pixel of the image, and the logit falls by `scale` with each
    columns = torch.arange(20, 80) + 0.5
    assert torch.allclose(start.coarse[0, 30], (50 - columns) * scale, atol=1e-3)


def test_the_teacher_sees_rgb():
    image, truth = disc()
    labeler, seen = AutoLabeler(), []
    teacher = labeler.teacher
    labeler.teacher = lambda *args: seen.append(args[2]) or teacher(*args)
    for name in ("margin", "crop_size"):
        setattr(labeler.teacher, name, getattr(teacher, name))
    labeler([BoxedImage(image, np.array([tight_box(truth)]), ["x"])])
    assert seen[0][0, :, 40, 60].tolist() == image[40, 60, ::-1].tolist()


def test_the_averaged_network_is_asked_once_it_has_started():
    model = build(tiny_solov2())
    assert AutoLabeler(model, classes=CLASSES).predictor.network is model
    model.teacher.update_parameters(model)
    assert AutoLabeler(model, classes=CLASSES).predictor.network is model.teacher.module


def labeler_of(*, competition=0.0, **changes):
    """A labeler with a tiny box labeller without classes."""
    config = tiny_labeler(num_classes=None, **changes)
    config.structured_teacher.competition = competition
    return AutoLabeler(build(config))


class BrightPixels:
    """Instead of a box labeller: foreground is what is bright, on cells of 4 pixels."""

    def extract_feat(self, batch_inputs):
        return (batch_inputs,)

    def head_outputs(self, features):
        return torch.nn.functional.avg_pool2d(features[0].mean(1), 4)

    def assign(self, outputs, objects):
        return torch.arange(len(objects))

    def mask_proposals(self, outputs, positives, objects, frame, *, one_per_object):
        assert torch.equal(objects.image_inds, positives)  # one object per crop
        return MaskProposals(outputs, positives, objects, 4)


@pytest.mark.parametrize("margins", [(0.0,), (0.2,), (0.1, 0.3), (0.0, 0.1, 0.4)])
def test_crops_of_every_margin_lie_on_the_image(margins):
    labeler = labeler_of(margins=margins)
    labeler.predictor.network = BrightPixels()
    image, truth = disc(centre=(45, 36))  # mirrored at the wrong place it would be elsewhere
    box = np.array([[20.0, 10, 90, 70]])
    objects = BoxedImage(image, box, ["x"]).objects([0])
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    coarse = labeler.predictor(None, rgb, objects, objects.boxes, 60).coarse[0].numpy()
    window = truth[10:70, 20:90].astype(np.uint8)
    expected = cv2.resize(window, (60, 60), interpolation=cv2.INTER_AREA) > 0
    assert iou(coarse > np.median(coarse) + 0.3, expected) > 0.85


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_number_of_crops_at_a_time_does_not_change_the_masks(at_once, monkeypatch):
    labeler, (image, _) = labeler_of(), disc()
    corners = np.random.default_rng(0).uniform(0, 40, (7, 2))
    objects = BoxedImage(image, np.concatenate([corners, corners + 30], 1), ["x"] * 7).objects(
        [0] * 7
    )
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()

    def predict(count):
        monkeypatch.setattr(crop_masks, "_CROPS", count)
        return labeler.predictor(None, rgb, objects, objects.boxes, 32)

    few, all_of_them = predict(at_once), predict(7)
    assert torch.allclose(few.coarse, all_of_them.coarse, atol=1e-4)
    assert torch.allclose(few.views, all_of_them.views, atol=1e-2)


def test_a_labeller_is_channels_last_unless_an_operator_reads_contiguous_maps():
    model = labeler_of().predictor.model
    kernels = [p for p in model.parameters() if p.dim() == 4 and p.shape[2] > 1 and p.shape[1] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    model = build(tiny_labeler(num_classes=None))
    model.deformable = DeformConv2d(4, 4, 3)
    assert all(p.is_contiguous() for p in AutoLabeler(model).predictor.model.parameters())


def test_objects_of_one_class_compete_and_detections_do_not():
    image, truth = disc()
    x1, y1, x2, y2 = tight_box(truth)
    boxes = np.array([[x1, y1, x2, y2], [x1 + 8, y1, x2 + 20, y2]], float)
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float()

    def areas(labeler, names):
        masks = labeler([BoxedImage(image, boxes, names)])[0]
        return [int(mask.window.sum()) for mask in masks]

    alone = areas(labeler_of(), ["a", "a"])
    rivals = labeler_of(competition=2.0)
    assert areas(rivals, ["a", "b"]) == alone
    assert sum(areas(rivals, ["a", "a"])) < sum(alone)
    found = rivals.label_tensor(rgb, torch.from_numpy(boxes), ["", ""])
    assert found.flatten(1).sum(1).tolist() == alone


@pytest.mark.parametrize("names", [["a"] * 22, ["a", "b"] * 11], ids=["one class", "two classes"])
def test_all_objects_of_an_image_compete_however_many_are_computed_at_once(names):
    """Boxes of a class that overlap stand far apart in the list."""
    image, truth = disc()
    x1, y1, x2, y2 = tight_box(truth)
    boxes = np.array([[x1 + d, y1, x2 + d, y2] for d in range(0, 33, 3)] * 2, float)
    boxes[11:, 1] -= 9

    def label(*, competition=2.0, max_objects=64):
        labeler = labeler_of(competition=competition)
        labeler.max_objects = max_objects
        labeler.predictor.network = BrightPixels()
        return labeler([BoxedImage(image, boxes, names)])[0]

    together = label()
    for one, other in zip(together, label(max_objects=3), strict=True):
        assert np.array_equal(one.window, other.window)
        assert one.quality == pytest.approx(other.quality, abs=1e-4)
    alone = label(competition=0.0)
    pairs = zip(together, alone, strict=True)
    assert not all(np.array_equal(one.window, other.window) for one, other in pairs)


def test_images_without_boxes_and_no_images():
    image, _ = disc()
    assert AutoLabeler()([]) == []
    assert detector(tiny_solov2())([BoxedImage(image, np.zeros((0, 4)), [])]) == [[]]


def test_ellipse_logits_are_zero_on_the_ellipse():
    boxes = torch.tensor([[10.0, 20, 50, 40]])
    logits = ellipse_logits(boxes, boxes, 100)[0]
    assert logits[50, 50] == pytest.approx(4, abs=0.01)
    # cell (49.5 of 100) of a row is the middle; the ellipse meets the box in the middle of a side
    assert logits[50, 0] == pytest.approx(0, abs=0.1)
    assert (logits > 0).float().mean() == pytest.approx(np.pi / 4, abs=0.01)


def test_boxes_may_be_lists():
    image, _ = disc()
    boxes = [(10, 10, 50, 50), [20.5, 20, 60, 70]]
    (found,) = AutoLabeler()([BoxedImage(image, boxes, ["a", "b"])])
    (same,) = AutoLabeler()([BoxedImage(image, np.array(boxes), ["a", "b"])])
    size = image.shape[:2]
    for mask, expected in zip(found, same, strict=True):
        assert (mask.full(size) == expected.full(size)).all()
    assert AutoLabeler()([BoxedImage(image, [], [])]) == [[]]


def test_wrong_input():
    image, _ = disc()
    with pytest.raises(ValueError, match=r"the shape \(H, W, 3\)"):
        BoxedImage(image[..., 0], np.zeros((0, 4)), [])
    with pytest.raises(ValueError, match="as many `classes`"):
        BoxedImage(image, np.zeros((2, 4)), ["one"])
    with pytest.raises(ValueError, match="multiple of 32"):
        AutoLabeler(crop_size=100)
    with pytest.raises(ValueError, match="names of the model's `classes`"):
        AutoLabeler(build(tiny_solov2()))
