"""Mixed precision training in bfloat16 on CPU and GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast.

    Corresponds to mmengine's ``AmpOptimWrapper`` with ``dtype='bfloat16'``, but also supports CPUs.
    Weights, gradients and optimiser state remain float32, so training can resume in either
    precision. bfloat16 has the range of float32, so the loss is not scaled. The arguments are those
    of ``OptimWrapper``. On CPUs without bfloat16 instructions training becomes slower.

    Stock MMDetection models are supported unless they use operators of mmcv 2.1.0 without a
    bfloat16 kernel, which raise "not implemented for 'BFloat16'": deformable convolutions (the
    ``dcn`` configs) and RoIAlign (stock two-stage networks) on any device, and on a GPU the focal
    loss of a stock ``SOLOV2Head`` (``DiscoBoxSOLOv2Head`` passes float32). The statements about
    GPUs are from mmcv's sources and untested.

    On a CPU, torch 2.13.0 does not initialise the bfloat16 weight gradient of a 3x3 convolution
    with stride 2 on a feature map of one cell. This affects the last FPN levels of images below
    about 100 pixels.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enable bfloat16 autocast inside the context."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
