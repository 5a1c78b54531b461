"""YOLACT++ in a stock detector: scores of masks, padded images, true masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.structures.mask import BitmapMasks
from tiny import batch, build, losses_of, tiny_yolact


def mask_supervised(*, rescoring, seed=0):
    config = tiny_yolact(box_supervised=False)
    config.mask_head.update(type="RescoringProtonet", rescoring=rescoring, with_seg_branch=True)
    return build(config, seed)


def with_masks(counts):
    data = batch(counts)
    for sample in data["data_samples"]:
        boxes = sample.gt_instances.bboxes.round().int().tolist()
        masks = np.zeros((len(boxes), 96, 96), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = 1
        sample.gt_instances.masks = BitmapMasks(masks, 96, 96)
    return data


def predict(model, data):
    model.eval()
    with torch.no_grad():
        samples = model(**model.data_preprocessor(data, False), mode="predict")
    return [sample.pred_instances for sample in samples]


@pytest.mark.parametrize("counts", [(3, 2), (0, 2), (0, 0)])
def test_rescoring_is_trained_by_ground_truth_masks(counts):
    model = mask_supervised(rescoring=dict())
    losses = losses_of(model, with_masks(counts))
    assert set(losses) == {"loss_cls", "loss_bbox", "loss_mask", "loss_segm", "loss_rescoring"}
    assert (losses["loss_rescoring"] > 0) == any(counts)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.mask_head.rescoring.parameters())


def test_the_other_losses_are_those_of_the_stock_head():
    model = mask_supervised(rescoring=dict())
    config = tiny_yolact(box_supervised=False)
    config.mask_head.with_seg_branch = True
    stock = build(config, seed=1)
    assert not stock.load_state_dict(model.state_dict(), strict=False).missing_keys
    ours, theirs = losses_of(model, with_masks((3, 2))), losses_of(stock, with_masks((3, 2)))
    for key, value in theirs.items():
        assert torch.equal(torch.stack(ours[key]), torch.stack(value)), key


def test_masks_have_scores_of_their_own():
    model = mask_supervised(rescoring=dict())
    instances = predict(model, batch((1,)))[0]
    plain = mask_supervised(rescoring=None, seed=1)
    plain.load_state_dict(model.state_dict(), strict=False)
    stock = predict(plain, batch((1,)))[0]
    assert "mask_scores" not in stock
    assert len(stock)
    for key in ("bboxes", "scores", "labels", "masks"):
        assert torch.equal(instances[key], stock[key]), key
    quality = instances.mask_scores / instances.scores
    assert ((quality >= 0) & (quality <= 1)).all()
    assert quality.std() > 0


def test_the_metric_ranks_masks_by_their_own_scores(tmp_path):
    metric = CocoMetric(outfile_prefix=str(tmp_path / "out"))
    metric.cat_ids = [1]
    square = dict(size=[4, 4], counts="0")
    result = dict(img_id=0, labels=[0], bboxes=torch.zeros(1, 4), scores=[0.8], masks=[square],
                  mask_scores=[0.2])  # fmt: skip
    result["bboxes"] = result["bboxes"].numpy()
    files = metric.results2json([result], str(tmp_path / "out"))
    scores = {}
    for kind in ("bbox", "segm"):
        with open(files[kind]) as file:
            scores[kind] = json.load(file)[0]["score"]
    assert scores == dict(bbox=0.8, segm=0.2)


def test_padding_does_not_move_masks():
    """An image that fills half of the padded batch: masks are in their boxes."""
    model = mask_supervised(rescoring=dict())
    data = batch((1, 1))
    data["inputs"][0] = data["inputs"][0][:, :48, :80]
    meta = data["data_samples"][0]
    meta.set_metainfo(dict(img_shape=(48, 80), ori_shape=(96, 160), scale_factor=(0.5, 0.5)))
    with torch.no_grad():
        model.mask_head.protonet[-2].bias += 1  # so that there are masks
    instances = predict(model, data)[0]
    assert instances.masks.shape[1:] == (96, 160)
    filled = 0
    for mask, (x1, y1, x2, y2) in zip(instances.masks, instances.bboxes.tolist(), strict=True):
        rows, cols = mask.nonzero().unbind(1)
        if len(rows):
            filled += 1
            edge = 2 * 8 + 1  # a cell of padding and one of interpolation, of 8 original pixels
            assert cols.min() >= x1 - edge
            assert cols.max() <= x2 + edge
            assert rows.min() >= y1 - edge
            assert rows.max() <= y2 + edge
    assert filled


def test_masks_of_the_input_size():
    model = mask_supervised(rescoring=None).eval()
    data = model.data_preprocessor(batch((1,)), False)
    data["data_samples"][0].set_metainfo(dict(ori_shape=(48, 48), scale_factor=(2.0, 2.0)))
    with torch.no_grad():
        for rescale, side in ((True, 48), (False, 96)):
            result = model.predict(data["inputs"], data["data_samples"], rescale=rescale)[0]
            assert result.pred_instances.masks.shape[1:] == (side, side)
