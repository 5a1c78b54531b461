"""The config that goes with a converted checkpoint of the released DiscoBox SOLOv2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .solov2_architecture import SOLOv2Architecture

#: how the released models were tested on COCO
RELEASED_TEST_CFG = dict(
    nms_pre=500,
    score_thr=0.1,
    mask_thr=0.4,
    filter_thr=0.05,
    kernel="gaussian",
    sigma=2.0,
    max_per_img=100,
)
_CONFIG = """\
# Settings of a converted checkpoint of the released DiscoBox SOLOv2. What its weights do not tell
# (grids, scale ranges, GN with 32 groups, RGB mean and deviation, padding to 32) is the base's.
_base_ = ["mmdet::solov2/solov2_r50_fpn_1x_coco.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(
    # Stock mmdet loads the weights too: "SOLOv2" and "SOLOV2Head", without loss_mask and
    # custom_imports. Its predicted boxes are zeros, these are tight around the masks.
    type="DiscoBoxSOLOv2",
    backbone={backbone},
    neck={neck},
    mask_head={mask_head},
    # mask_thr is that of the released COCO models and of VOC12 with ResNet-101; VOC12 with
    # ResNet-50 was tested with 0.5. filter_thr is what the released code calls update_thr.
    test_cfg={test_cfg},
)
"""


def released_config(architecture: SOLOv2Architecture) -> str:
    """Write the config under which a converted checkpoint predicts what the released model does.

    Args:
        architecture: the network, from ``convert_released_checkpoint``.

    Returns:
        Text of a config file on top of mmdet's SOLOv2. Its data set is COCO's.
    """
    head = dict(
        type="DiscoBoxSOLOv2Head",
        loss_mask=dict(_delete_=True, type="BoxMILLoss"),
        **architecture.mask_head,
    )
    return _CONFIG.format(
        backbone=_as_text(dict(init_cfg=None, **architecture.backbone)),
        neck=_as_text(architecture.neck),
        mask_head=_as_text(head),
        test_cfg=_as_text(RELEASED_TEST_CFG),
    )


def _as_text(settings: Mapping[str, Any], indent: int = 4) -> str:
    """Write a dictionary as ``dict(...)``, one setting a line."""
    space = " " * (indent + 4)
    lines = [
        f"{space}{key}={_as_text(value, indent + 4) if isinstance(value, Mapping) else repr(value)}"
        for key, value in settings.items()
    ]
    return "dict(\n" + ",\n".join(lines) + ",\n" + " " * indent + ")"
