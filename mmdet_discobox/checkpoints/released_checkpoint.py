"""Turn a checkpoint of the released DiscoBox SOLOv2 into one for stock ``SOLOv2``.

The released network has the layers of mmdet's ``SOLOv2`` under other names: two heads where mmdet
has one. Conversion renames keys; no weight changes. What comes out loads into ``SOLOv2`` and into
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


def rename_released_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of the released SOLOv2 their stock names.

    Args:
        state_dict: weights under their released names.

    Returns:
        The same tensors in the same order under stock names.

    Raises:
        ValueError: if names are no released ones; it lists them.
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
            hint = " Keys of `mask_head.` are stock ones: such a checkpoint needs no conversion."
        raise ValueError(
            "Expected the keys of a released DiscoBox SOLOv2 (`backbone.`, `neck.`, `bbox_head.`, "
            f"`mask_feat_head.`), but got {len(unknown)} others:{_listed(unknown)}{hint}"
        )
    return renamed


def convert_released_checkpoint(
    checkpoint: Mapping[str, Any],
) -> tuple[dict[str, Any], SOLOv2Architecture]:
    """Convert a checkpoint and check it, key by key and shape by shape, against stock SOLOv2.

    Args:
        checkpoint: ``state_dict`` under released names, and ``meta`` of mmcv 1.x if there is one.

    Returns:
        The checkpoint for stock SOLOv2: ``state_dict``, and ``meta`` with the names of the
        classes where the source has them; and the network that it fits.

    Raises:
        ValueError: if keys are unknown, missing, or of another shape; it lists them.
    """
    weights = rename_released_keys(checkpoint["state_dict"])
    architecture = SOLOv2Architecture.from_weights(weights)
    expected = architecture.shapes()
    for key in expected.keys() - weights.keys():
        if key.endswith(_COUNTER):  # files of old torch lack them; inference does not use them
            weights[key] = torch.zeros((), dtype=torch.long)
    _check_shapes(weights, expected)
    meta: dict[str, Any] = dict(converted_from="released DiscoBox SOLOv2")
    classes = (checkpoint.get("meta") or {}).get("CLASSES")
    if classes and len(classes) == architecture.num_classes:
        meta["dataset_meta"] = dict(classes=tuple(classes))
    return dict(meta=meta, state_dict=weights), architecture


def _check_shapes(weights: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
    """Raise one error for all keys that are missing, left over, or of another shape."""
    groups = {
        "missing": [key for key in expected if key not in weights],
        "unknown": [key for key in weights if key not in expected],
        "of another shape": [
            f"{key}: {tuple(weights[key].shape)} instead of {tuple(shape)}"
            for key, shape in expected.items()
            if key in weights and weights[key].shape != shape
        ],
    }
    wrong = [f"\n{len(keys)} {kind}:{_listed(keys)}" for kind, keys in groups.items() if keys]
    if wrong:
        raise ValueError(
            "Expected the weights of one whole SOLOv2, but after renaming to stock keys there are:"
            + "".join(wrong)
        )


def _listed(keys: list[str]) -> str:
    return "".join(f"\n- {key}" for key in keys)
