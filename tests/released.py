"""A stock SOLOv2 and its weights under the names of the released code, for the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

#: stock name -> released name, line by line as the released layout is described
LAYOUT = (
    (r"mask_head\.cls_convs\.(\d+)\.(conv|gn)\.(.+)", r"bbox_head.cate_convs.\1.\2.\3"),
    (r"mask_head\.kernel_convs\.(\d+)\.(conv|gn)\.(.+)", r"bbox_head.kernel_convs.\1.\2.\3"),
    (r"mask_head\.conv_cls\.(weight|bias)", r"bbox_head.solo_cate.\1"),
    (r"mask_head\.conv_kernel\.(weight|bias)", r"bbox_head.solo_kernel.\1"),
    (
        r"mask_head\.mask_feature_head\.convs_all_levels\.(\d)\.conv(\d)\.(conv|gn)\.(.+)",
        r"mask_feat_head.convs_all_levels.\1.conv\2.\3.\4",
    ),
    (
        r"mask_head\.mask_feature_head\.conv_pred\.(conv|gn)\.(.+)",
        r"mask_feat_head.conv_pred.0.\1.\2",
    ),
)


def released_name(key: str) -> str:
    if key.startswith(("backbone.", "neck.")):
        return key
    names = [re.sub(stock, name, key) for stock, name in LAYOUT if re.fullmatch(stock, key)]
    assert len(names) == 1, key
    return names[0]


def released_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {released_name(key): value for key, value in model.state_dict().items()}


def stock_solov2(*, dcn: bool = False, seed: int = 0) -> torch.nn.Module:
    """SOLOv2 of mmdet's base config with few channels and 5 classes."""
    norm = dict(type="GN", num_groups=32)
    model: dict[str, Any] = dict(
        backbone=dict(depth=18, base_channels=8, init_cfg=None),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
        mask_head=dict(
            num_classes=5,
            in_channels=16,
            feat_channels=32,
            stacked_convs=2,
            mask_feature_head=dict(feat_channels=32, out_channels=64, norm_cfg=norm),
        ),
    )
    if dcn:
        operator = dict(type="DCNv2", deform_groups=1, fallback_on_stride=False)
        stages = (False, True, True, True)
        model["backbone"].update(depth=50, dcn=operator, stage_with_dcn=stages)
        model["neck"]["in_channels"] = [32, 64, 128, 256]
        model["mask_head"].update(dcn_cfg=dict(type="DCNv2"), dcn_apply_to_all_conv=True)
        model["mask_head"]["mask_feature_head"]["conv_cfg"] = dict(type="DCNv2")
    config = stock_config()
    config.merge_from_dict(dict(model=model))
    torch.manual_seed(seed)
    built = MODELS.build(dict(config.model, _scope_="mmdet"))
    built.init_weights()
    _randomise(built)
    return built.eval()


def predictions(model: torch.nn.Module) -> list[torch.Tensor]:
    """Kernels, class logits and mask features for a fixed random image."""
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        kernels, logits, features = model.mask_head(model.extract_feat(image))
    return [*kernels, *logits, features]


def stock_config(name: str = "solov2/solov2_r50_fpn_1x_coco.py") -> Config:
    return Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / name)


def _randomise(model: torch.nn.Module) -> None:
    """Move offsets, biases and running statistics away from zeros and ones."""
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.rand_like(value) * 0.1)
