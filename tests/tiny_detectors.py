"""Stock detectors of mmdet that predict boxes alone, small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmdet
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
_RESNET = dict(depth=18, base_channels=8, init_cfg=None)


def _stock(path: str, **changes: Any) -> ConfigDict:
    config = Config.fromfile(CONFIGS / path)
    config.merge_from_dict(dict(model=changes))
    return config.model


def tiny_faster_rcnn(*, num_classes: int = 3) -> ConfigDict:
    """Config of mmdet's Faster R-CNN with a ResNet-18 of 8 channels."""
    return _stock(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        backbone=_RESNET,
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=num_classes),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=10)
        ),
    )


def tiny_rtmdet(*, num_classes: int = 3) -> ConfigDict:
    """Config of mmdet's RTMDet-tiny with an eighth of its channels."""
    norm = dict(type="BN")
    return _stock(
        "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
        backbone=dict(widen_factor=0.125, init_cfg=None, norm_cfg=norm),
        neck=dict(in_channels=[32, 64, 128], out_channels=16, norm_cfg=norm),
        bbox_head=dict(in_channels=16, feat_channels=16, num_classes=num_classes, norm_cfg=norm),
        test_cfg=dict(score_thr=0.0, nms_pre=50, max_per_img=10),
    )


def tiny_dino(*, num_classes: int = 3) -> ConfigDict:
    """Config of mmdet's DINO with a ResNet-18 of 8 channels and one layer each."""
    return _stock(
        "dino/dino-4scale_r50_8xb2-12e_coco.py",
        num_queries=10,
        backbone=_RESNET,
        neck=dict(in_channels=[16, 32, 64]),
        encoder=dict(num_layers=1),
        decoder=dict(num_layers=1),
        bbox_head=dict(num_classes=num_classes),
        dn_cfg=dict(group_cfg=dict(num_dn_queries=10)),
        test_cfg=dict(max_per_img=10),
    )


#: one configuration of each kind: two stages, dense, set prediction
DETECTORS = {"faster_rcnn": tiny_faster_rcnn, "rtmdet": tiny_rtmdet, "dino": tiny_dino}


def build_detector(config: Any) -> Any:
    """Build a model, whose weights depend on torch's seed alone.

    mmdet's DINO leaves one parameter uninitialised until `init_weights`, which logs pages.
    """
    model = MODELS.build(config)
    for name, parameter in model.named_parameters():
        if name.endswith("level_embed"):
            torch.nn.init.normal_(parameter)
    return model
