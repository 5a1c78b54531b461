"""Mixed precision in bfloat16, with or without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Compute losses in bfloat16 wherever PyTorch's autocast holds it for safe.

    What mmengine's ``AmpOptimWrapper`` with ``dtype='bfloat16'`` does, also on a CPU, which that
    one refuses. Weights, gradients and the state of the optimiser stay float32, so that a training
    may be resumed in either precision; bfloat16 has the range of float32, and needs no scaling of
    the loss. It takes the arguments of ``OptimWrapper``. A CPU without instructions for bfloat16
    is slower with it.

    It works for models of stock MMDetection too, but for operators of mmcv 2.1.0 that have no
    bfloat16 and end in "not implemented for 'BFloat16'". On any device these are the deformable
    convolutions of the ``dcn`` configs and, of stock two-stage networks, RoIAlign; on a GPU also
    the focal loss, to which a stock ``SOLOV2Head`` gives its logits as they are.
    ``DiscoBoxSOLOv2Head`` gives it float32. What is said of GPUs comes from reading mmcv's
    sources: it was not run on one.

    On a CPU, torch 2.13.0 leaves the weights' gradient of a 3x3 convolution with stride 2
    uninitialised, if it is in bfloat16 and the map has one cell. Such maps are those of an FPN's
    last levels for pictures below about 100 pixels.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute what is inside in bfloat16."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
