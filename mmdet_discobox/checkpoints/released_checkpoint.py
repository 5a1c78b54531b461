"""Convert checkpoints of the released DiscoBox SOLOv2 for stock ``SOLOv2``, with their config.

The released network has the layers of mmdet's ``SOLOv2`` under other names, in two heads instead of
one. The conversion renames keys and changes no weight. The result loads into ``SOLOv2`` and into
``DiscoBoxSOLOv2``, whose student has the same keys.

========================================  =========================================================
released                                  stock
========================================  =========================================================
``backbone.*``, ``neck.*``                unchanged
``bbox_head.cate_convs.I.*``              ``mask_head.cls_convs.I.*``
``bbox_head.kernel_convs.I.*``            ``mask_head.kernel_convs.I.*``
``bbox_head.solo_cate.*``                 ``mask_head.conv_cls.*``
``bbox_head.solo_kernel.*``               ``mask_head.conv_kernel.*``
``mask_feat_head.convs_all_levels.*``     ``mask_head.mask_feature_head.convs_all_levels.*``
``mask_feat_head.conv_pred.0.*``          ``mask_head.mask_feature_head.conv_pred.*``
========================================  =========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .checkpoint_files import shape_mismatches
from .solov2_architecture import SOLOv2Architecture

#: released prefix -> stock prefix
RENAMED_PREFIXES = {
    "backbone.": "backbone.",
    "neck.": "neck.",
    "bbox_head.cate_convs.": "mask_head.cls_convs.",
    "bbox_head.kernel_convs.": "mask_head.kernel_convs.",
    "bbox_head.solo_cate.": "mask_head.conv_cls.",
    "bbox_head.solo_kernel.": "mask_head.conv_kernel.",
    "mask_feat_head.convs_all_levels.": "mask_head.mask_feature_head.convs_all_levels.",
    "mask_feat_head.conv_pred.0.": "mask_head.mask_feature_head.conv_pred.",
}
_COUNTER = ".num_batches_tracked"
#: the test settings are those of the released models on COCO
_CONFIG = """\
# Config of a converted checkpoint of the released DiscoBox SOLOv2. Settings that its weights do not
# determine (grids, scale ranges, GN with 32 groups, RGB mean and deviation, padding to 32) are the
# base's.
_base_ = ["mmdet::solov2/solov2_r50_fpn_1x_coco.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(
    # Stock mmdet loads the weights too: "SOLOv2" and "SOLOV2Head", without custom_imports. Its
    # predicted boxes are zeros, these are tight around the masks.
    type="DiscoBoxSOLOv2",
    backbone={backbone},
    neck={neck},
    mask_head={mask_head},
    # mask_thr is that of the released COCO models and of VOC12 with ResNet-101; VOC12 with
    # ResNet-50 was tested with 0.5. filter_thr is called update_thr in the released code.
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.1,
        mask_thr=0.4,
        filter_thr=0.05,
        kernel="gaussian",
        sigma=2.0,
        max_per_img=100,
    ),
)
"""


def rename_released_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the released SOLOv2 to their stock keys, in the same order.

    Args:
        state_dict: weights under their released keys.

    Raises:
        ValueError: if there are other keys; the error lists the first of them.
    """
    renamed, unknown = {}, []
    for key, value in state_dict.items():
        prefix = next((prefix for prefix in RENAMED_PREFIXES if key.startswith(prefix)), None)
        if prefix is None:
            unknown.append(key)
        else:
            renamed[RENAMED_PREFIXES[prefix] + key.removeprefix(prefix)] = value
    if unknown:
        hint = ""
        if any(key.startswith("mask_head.") for key in unknown):
            hint = "\nKeys of `mask_head.` are stock ones: such a checkpoint needs no conversion."
        raise ValueError(
            "Expected the keys of a released DiscoBox SOLOv2 (`backbone.`, `neck.`, `bbox_head.`, "
            f"`mask_feat_head.`), but got {len(unknown)} others:{_listed(unknown)}{hint}"
        )
    return renamed


def convert_released_checkpoint(
    checkpoint: Mapping[str, Any],
) -> tuple[dict[str, Any], SOLOv2Architecture]:
    """Convert a checkpoint, and validate its keys and shapes against stock SOLOv2.

    Args:
        checkpoint: ``state_dict`` under released keys, and optionally ``meta`` of mmcv 1.x.

    Returns:
        The checkpoint for stock SOLOv2 (``state_dict``, and ``meta`` with the names of the classes
        if the source has them), and the architecture of its network.

    Raises:
        ValueError: if keys are unknown, missing, or of another shape; the error lists the
            first of them.
    """
    weights = rename_released_keys(checkpoint["state_dict"])
    architecture = SOLOv2Architecture.from_weights(weights)
    expected = architecture.shapes()
    for key in expected.keys() - weights.keys():
        if key.endswith(_COUNTER):  # old versions of torch have none; inference does not use them
            weights[key] = torch.zeros((), dtype=torch.long)
    _check_shapes(weights, expected)
    meta: dict[str, Any] = dict(converted_from="released DiscoBox SOLOv2")
    classes = (checkpoint.get("meta") or {}).get("CLASSES")
    if classes and len(classes) == architecture.num_classes:
        meta["dataset_meta"] = dict(classes=tuple(classes))
    return dict(meta=meta, state_dict=weights), architecture


def released_config(architecture: SOLOv2Architecture) -> str:
    """Return the text of a config on top of mmdet's SOLOv2 for a converted checkpoint.

    Args:
        architecture: the network, from :func:`convert_released_checkpoint`.
    """
    head = dict(type="DiscoBoxSOLOv2Head", **architecture.mask_head)
    return _CONFIG.format(
        backbone=_as_text(dict(init_cfg=None, **architecture.backbone)),
        neck=_as_text(architecture.neck),
        mask_head=_as_text(head),
    )


def _check_shapes(weights: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
    """Raise one error for all keys that are missing, unknown, or of another shape."""
    groups = {
        "missing": [key for key in expected if key not in weights],
        "unknown": [key for key in weights if key not in expected],
        "of another shape": [
            f"{key}: {shapes}" for key, shapes in shape_mismatches(weights, expected).items()
        ],
    }
    wrong = [f"\n{len(keys)} {kind}:{_listed(keys)}" for kind, keys in groups.items() if keys]
    if wrong:
        raise ValueError(
            "Expected the weights of one complete SOLOv2, but after renaming to stock keys there "
            "are:" + "".join(wrong)
        )


def _listed(keys: list[str], limit: int = 10) -> str:
    """Return one line per key, and the number of the keys beyond the limit."""
    more = f"\n... and {len(keys) - limit} more" if len(keys) > limit else ""
    return "".join(f"\n- {key}" for key in keys[:limit]) + more


def _as_text(settings: Mapping[str, Any], indent: int = 4) -> str:
    """Format a dictionary as ``dict(...)`` with one setting per line."""
    space = " " * (indent + 4)
    lines = [
        f"{space}{key}={_as_text(value, indent + 4) if isinstance(value, Mapping) else repr(value)}"
        for key, value in settings.items()
    ]
    return "dict(\n" + ",\n".join(lines) + ",\n" + " " * indent + ")"
