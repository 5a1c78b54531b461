"""The machine and the versions that the checks run with."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch
from mmcv.ops import get_compiler_version, get_compiling_cuda_version

import mmdet_discobox
from gpu_checks.records import CheckFailure, Figures, Settings

_PACKAGES = ("mmcv", "mmdet", "mmengine", "numpy")


def machine(settings: Settings, path: Path | None) -> Figures:
    """Return the versions, and check that mmcv has operators for the device.

    Args:
        settings: of all checks.
        path: none.

    Raises:
        CheckFailure: if torch sees no GPU, or mmcv was built without CUDA.
    """
    figures: Figures = dict(
        mmdet_discobox=mmdet_discobox.__version__,
        torch=torch.__version__,
        **{name: import_module(name).__version__ for name in _PACKAGES},
        mmcv_cuda=get_compiling_cuda_version(),
        mmcv_compiler=get_compiler_version(),
        threads=torch.get_num_threads(),
    )
    if not settings.on_gpu:
        return figures
    if not torch.cuda.is_available():
        raise CheckFailure(
            "Expected a GPU but torch sees none. `--device cpu` needs none.", figures
        )
    properties = torch.cuda.get_device_properties(0)
    figures.update(
        gpu=properties.name,
        gpus=torch.cuda.device_count(),
        gigabytes=properties.total_memory / 1e9,
        capability=f"{properties.major}.{properties.minor}",
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )
    if figures["mmcv_cuda"] == "not available":
        raise CheckFailure(
            "Expected mmcv with operators for CUDA but it was built without. Build it again where "
            "torch sees the GPU, with FORCE_CUDA=1.",
            figures,
        )
    return figures
