"""The invariants of a DiscoBox detector: they hold for every task network."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from tiny import (
    batch,
    build,
    losses_of,
    tiny_condinst,
    tiny_labeler,
    tiny_rtmdet_ins,
    tiny_semantic_yolact,
    tiny_solov2,
    tiny_yolact,
)

from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.teachers import PredictionRefiner, crops

#: keys of the losses that every network has, and those of one network alone
KEYS = {"loss_mil", "loss_con", "loss_nce", "teacher_valid", "teacher_agreement"}
YOLACT_KEYS = {"loss_cls", "loss_bbox", "loss_rescoring"}
OWN_KEYS = {
    tiny_solov2: {"loss_cls"},
    tiny_yolact: YOLACT_KEYS,
    tiny_semantic_yolact: {*YOLACT_KEYS, "loss_segm"},
    tiny_condinst: {"loss_cls", "loss_bbox", "loss_centerness"},
    tiny_rtmdet_ins: {"loss_cls", "loss_bbox"},
    tiny_labeler: set(),
}
#: networks that predict without boxes, each with a stock twin
DETECTORS = [tiny for tiny in OWN_KEYS if tiny is not tiny_labeler]
#: prefixes of what a detector adds to the stock one
ADDITIONS = ("teacher.", "structured_teacher.", "mask_head.rescoring.")


@pytest.fixture(params=OWN_KEYS, ids=lambda tiny: tiny.__name__.removeprefix("tiny_"))
def tiny(request):
    return request.param


detects = pytest.mark.parametrize("tiny", DETECTORS, indirect=True)


@pytest.fixture
def detector(tiny):
    return build(tiny())


@pytest.fixture
def matching(detector):
    """A detector with objects in its bank, so that `L_nce` and the cross-image term are active."""
    losses_of(detector, batch(seed=7))
    losses = losses_of(copy.deepcopy(detector), batch())
    assert losses["loss_nce"].item() > 0
    return detector


def values(losses):
    return {key: value.item() for key, value in losses.items()}


def test_masks_are_never_read(matching):
    data = batch()
    without = values(losses_of(copy.deepcopy(matching), copy.deepcopy(data)))
    rng = np.random.default_rng(1)
    for sample in data["data_samples"]:
        noise = rng.integers(0, 2, (len(sample.gt_instances), 96, 96), dtype=np.uint8)
        sample.gt_instances.masks = BitmapMasks(noise, 96, 96)
    assert values(losses_of(matching, data)) == without


def test_whole_boxes_are_the_default(matching):
    """Cut sides that are all False change no bit; cut ones change `L_mil`."""
    data = batch()
    absent = values(losses_of(copy.deepcopy(matching), copy.deepcopy(data)))
    for sample in data["data_samples"]:
        sample.gt_instances.cut_sides = torch.zeros(len(sample.gt_instances), 4).bool()
    assert values(losses_of(copy.deepcopy(matching), copy.deepcopy(data))) == absent
    data["data_samples"][0].gt_instances.cut_sides[:] = True
    cut = losses_of(matching, data)
    assert values(cut)["loss_mil"] != absent["loss_mil"]
    sum(cut[key] for key in cut if "loss" in key).backward()
    assert all(np.isfinite(value.item()) for value in cut.values())
    assert all(p.grad.isfinite().all() for p in matching.parameters() if p.grad is not None)


def test_the_keys_of_the_losses_never_change(tiny, detector):
    gate = detector.structured_teacher.consistency_gate
    for is_open in (False, True):
        gate.set(is_open)
        for counts in ((3, 2), (0, 2), (0, 0)):
            losses = losses_of(detector, batch(counts))
            assert set(losses) == KEYS | OWN_KEYS[tiny]
            assert all(np.isfinite(value.item()) for value in losses.values())


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("counts", [(3, 2), (0, 0)])
def test_every_student_parameter_is_in_the_graph(detector, is_open, counts):
    detector.structured_teacher.consistency_gate.set(is_open)
    losses = losses_of(detector, batch(counts))
    for key in losses:
        assert losses[key].requires_grad == key.startswith("loss"), key
    sum(losses[key] for key in losses if "loss" in key).backward()
    for name, parameter in detector.named_parameters():
        frozen = name.startswith("teacher.") or not parameter.requires_grad
        assert (parameter.grad is None) == frozen, name


def test_a_batch_without_objects_calls_no_operator_on_an_empty_tensor(detector, monkeypatch):
    """mmcv's RoIAlign without a region is an error on a GPU, but not on a CPU."""

    def on_a_gpu(maps, rois, *args):
        if not len(rois):
            raise RuntimeError("CUDA error: invalid configuration argument")
        return roi_align(maps, rois, *args)

    roi_align = crops.roi_align
    monkeypatch.setattr(crops, "roi_align", on_a_gpu)
    detector.teacher.update_parameters(detector)
    for seed, counts in enumerate(((3, 2), (0, 0), (0, 0))):
        losses = losses_of(detector, batch(counts, seed=seed))
        sum(losses[key] for key in losses if "loss" in key).backward()
        assert all(np.isfinite(value.item()) for value in losses.values())


def test_a_closed_gate_gives_no_consistency_loss(detector):
    detector.structured_teacher.consistency_gate.set(False)
    assert losses_of(detector, batch())["loss_con"].item() == 0
    detector.structured_teacher.consistency_gate.set(True)
    assert losses_of(detector, batch())["loss_con"].item() > 0


def test_odd_boxes_train(matching):
    data = batch((4,))
    data["data_samples"][0].gt_instances.bboxes = torch.tensor(
        [
            [10.0, 10.0, 11.0, 11.0],  # one pixel
            [-20.0, -20.0, 40.0, 30.0],  # past the border
            [90.0, 80.0, 130.0, 120.0],
            [0.0, 0.0, 96.0, 96.0],  # the whole image
        ]
    )
    losses = losses_of(matching, data)
    assert all(torch.isfinite(value) for value in losses.values())


def test_flat_images_train(matching):
    data = batch()
    data["inputs"] = [torch.full_like(image, 128) for image in data["inputs"]]
    losses = losses_of(matching, data)
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses[key] for key in losses if "loss" in key).backward()
    for parameter in matching.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_bf16_autocast_is_finite_and_close(matching):
    reference = losses_of(copy.deepcopy(matching), batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(matching, batch())
    sum(losses[key] for key in losses if "loss" in key).backward()
    for key, value in losses.items():
        assert torch.isfinite(value), key
    for key in losses.keys() & {"loss_cls", "loss_mil", "loss_con", "loss_nce"}:
        assert losses[key].item() == pytest.approx(reference[key].item(), rel=0.1), key
    for parameter in matching.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_the_teacher_network_teaches_once_it_has_moved(detector):
    data = detector.data_preprocessor(batch(), False)

    def masks():
        return detector.eval().teach(data["inputs"], data["data_samples"]).masks

    student = masks()
    with torch.no_grad():
        for parameter in detector.teacher.parameters():
            parameter.normal_(std=0.5)
    assert torch.equal(masks(), student)
    detector.teacher.update_parameters(detector)
    assert torch.equal(masks(), student)
    with torch.no_grad():
        for parameter in detector.teacher.parameters():
            parameter.normal_(std=0.5)
    assert (masks() - student).abs().max() > 0.01


def test_the_teacher_network_is_frozen(detector):
    detector.train()
    assert not detector.teacher.module.training
    assert not any(p.requires_grad for p in detector.teacher.parameters())
    optimised = {name for name, p in detector.named_parameters() if p.requires_grad}
    assert optimised
    assert not any(name.startswith("teacher.") for name in optimised)


@detects
def test_additions_live_under_their_own_prefixes(tiny, detector):
    stock = build(tiny(box_supervised=False))
    ours = set(detector.state_dict())
    added = {key for key in ours if key.startswith(ADDITIONS)}
    assert ours - added == set(stock.state_dict())
    assert {"teacher.steps", "structured_teacher.running_mil"} <= added


@detects
def test_checkpoints_load_into_the_stock_detector_and_back(tiny, detector):
    stock = build(tiny(box_supervised=False), seed=1)
    unexpected = stock.load_state_dict(detector.state_dict(), strict=False)
    assert not unexpected.missing_keys
    assert all(key.startswith(ADDITIONS) for key in unexpected.unexpected_keys)
    data = batch((1, 1))
    results = []
    for model in (detector, stock):
        model.eval()
        with torch.no_grad():
            inputs = model.data_preprocessor(copy.deepcopy(data), False)
            results.append(model(**inputs, mode="predict"))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours.pred_instances.scores, theirs.pred_instances.scores)
        assert torch.equal(ours.pred_instances.masks, theirs.pred_instances.masks)
        assert len(ours.pred_instances)
    back = build(tiny(), seed=2)
    assert not back.load_state_dict(stock.state_dict(), strict=False).unexpected_keys


def test_boxes_of_a_network_without_boxes_are_tight():
    detector = build(tiny_solov2()).eval()
    with torch.no_grad():
        inputs = detector.data_preprocessor(batch((1,)), False)
        instances = detector(**inputs, mode="predict")[0].pred_instances
    assert len(instances)
    for mask, box in zip(instances.masks, instances.bboxes, strict=True):
        rows, cols = np.nonzero(mask.numpy())
        expected = (
            [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1] if len(rows) else [0] * 4
        )
        assert box.tolist() == expected


@detects
def test_no_prediction_is_a_valid_result(tiny):
    config = tiny()
    config.test_cfg.score_thr = 1.1
    detector = build(config).eval()
    with torch.no_grad():
        inputs = detector.data_preprocessor(batch((1,)), False)
        instances = detector(**inputs, mode="predict")[0].pred_instances
    assert instances.bboxes.shape == (0, 4)
    assert instances.labels.dtype == torch.long
    assert instances.masks.dtype == torch.bool


@detects
def test_predictions_are_refined_if_that_is_configured(tiny, detector):
    refining = build(tiny(prediction_refiner=dict(min_score=0.0))).eval()
    assert set(refining.state_dict()) == set(detector.state_dict())
    refining.load_state_dict(detector.state_dict())
    data, found = batch((1, 1)), []
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(ori_shape=(120, 144), scale_factor=(96 / 144, 96 / 120)))
    for model in (detector.eval(), refining):
        with torch.no_grad():
            inputs = model.data_preprocessor(copy.deepcopy(data), False)
            found.append([each.pred_instances for each in model(**inputs, mode="predict")])
    images = [pixels.flip(0).float() for pixels in data["inputs"]]  # RGB
    for plain, refined, image in zip(*found, images, strict=True):
        assert torch.equal(plain.scores, refined.scores)
        expected = PredictionRefiner(min_score=0.0)(image, plain.masks, plain.scores)
        assert expected.shape[1:] == (120, 144)
        # the image was normalised and converted back
        assert (expected == refined.masks).float().mean() > 0.999
        assert not torch.equal(plain.masks, refined.masks)
        boxes = plain.bboxes if refining.with_bbox else masks_to_boxes(refined.masks)
        assert torch.equal(refined.bboxes, boxes)
    with torch.no_grad():  # the teacher network, alone, is a plain task network
        inputs = refining.data_preprocessor(copy.deepcopy(data), False)
        refining.teacher.module.predict(**{f"batch_{key}": each for key, each in inputs.items()})


@detects
def test_predictions_under_bf16_autocast(detector):
    inputs = detector.eval().data_preprocessor(batch((1, 1)), False)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        instances = detector(**inputs, mode="predict")[0].pred_instances
    assert len(instances)
    assert instances.masks.dtype == torch.bool
    assert torch.isfinite(instances.scores).all()


@detects
def test_refined_masks_of_a_padded_batch_lie_on_their_image(tiny):
    data = batch((1, 1))
    data["inputs"][1] = data["inputs"][1][:, :64, :48]
    small = dict(img_shape=(64, 48), ori_shape=(128, 96), scale_factor=(0.5, 0.5))
    data["data_samples"][1].set_metainfo(small)
    seen = []
    for settings in (dict(), dict(prediction_refiner=dict(min_score=0.0))):
        model = build(tiny(**settings)).eval()
        inputs = model.data_preprocessor(copy.deepcopy(data), False)
        with torch.no_grad():
            samples = model.predict(inputs["inputs"], inputs["data_samples"], rescale=False)
        seen.append(samples[1].pred_instances)
    plain, refined = seen
    pixels = model.to_rgb(inputs["inputs"])[1]
    is_original = plain.masks.shape[1:] == (128, 96)  # SOLOv2 always rescales
    height, width = (64, 48) if is_original else plain.masks.shape[1:]
    expected = PredictionRefiner(min_score=0.0)(
        pixels[:, :height, :width], plain.masks, plain.scores
    )
    assert not torch.equal(plain.masks, refined.masks)
    assert torch.equal(refined.masks, expected)


def test_teach_returns_a_mask_for_every_box(detector):
    data = detector.data_preprocessor(batch((3, 0, 2)), False)
    pseudo = detector.teach(data["inputs"], data["data_samples"])
    assert pseudo.masks.shape == (5, 16, 16)
    assert not pseudo.masks[~pseudo.inside].any()


def test_colours_are_recovered(detector):
    data = batch((1,))
    inputs = detector.data_preprocessor(copy.deepcopy(data), False)["inputs"]
    bgr = data["inputs"][0].float()
    assert torch.allclose(detector.to_rgb(inputs)[0], bgr.flip(0), atol=1e-3)


def test_colours_are_recovered_from_a_preprocessor_that_reads_data_samples():
    @MODELS.register_module(force=True)
    class SampleReader(DetDataPreprocessor):
        def forward(self, data, training=False):
            assert len(data["data_samples"]) == len(data["inputs"])
            return super().forward(data, training)

    detector = build(tiny_solov2(data_preprocessor=dict(type="SampleReader", bgr_to_rgb=True)))
    data = batch((1,))
    inputs = detector.data_preprocessor(copy.deepcopy(data), False)["inputs"]
    assert torch.equal(detector.to_rgb(inputs)[0], data["inputs"][0].float().flip(0))


def test_a_teacher_network_needs_a_structured_teacher(tiny):
    with pytest.raises(ValueError, match="Expected `structured_teacher` to be a config"):
        build(tiny(structured_teacher=None))


def test_multiple_instance_learning_alone(tiny):
    config = tiny(structured_teacher=None, teacher_network=None)
    for key in ("rescoring", "with_seg_branch"):
        config.get("mask_head", {}).pop(key, None)
    model = build(config)
    own = OWN_KEYS[tiny] - {"loss_rescoring", "loss_segm"}
    assert set(losses_of(model, batch())) == {"loss_mil"} | own
    assert not any(key.startswith("teacher") for key in model.state_dict())
