"""The memory layout in which convolutions are fastest."""

from __future__ import annotations

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the weights of convolutions with their channels last, before anything is computed.

    Convolutions with such weights give feature maps of the same layout, so that the whole network
    runs in it. On a CPU a training step of the lite0 configs takes half the time; tensor cores
    prefer it too. Names, shapes and values of the weights stay, and so do checkpoints.

    It works for every model, also of stock MMDetection, in training, validation and test.

    Where ranks share the training, the model has been wrapped before, and torch warns in the first
    step that gradients have other strides than their buckets. ``DistributedDataParallel`` then
    makes its buckets anew, in the layout of the weights. With ``find_unused_parameters=True``,
    which no config here has, it does not: gradients are copied between the layouts in every step.
    """

    # Before weights are initialised or loaded, which fills what is there.
    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place."""
        runner.model.to(memory_format=torch.channels_last)
