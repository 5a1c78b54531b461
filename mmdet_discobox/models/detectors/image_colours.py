"""Colours of normalised images."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor


class ImageColours:
    """Convert normalised images back to RGB in [0, 255].

    mmdet's loaders yield BGR, and a data preprocessor may reverse the channels. No public attribute
    reports that, so the order is read from one blue pixel that the preprocessor processes.

    Args:
        preprocessor: data preprocessor of a detector. Its buffers ``mean`` and ``std``, which exist
            if it normalises, are read at every call and so are on the current device.
    """

    def __init__(self, preprocessor: Any) -> None:
        self._preprocessor = preprocessor
        blue, black = (self._processed(value) for value in (255, 0))
        changed = (blue - black).abs().flatten(1).amax(1)  # (3,)
        self._is_bgr = bool(changed[0] > changed[2])

    def _processed(self, blue: int) -> Tensor:
        """Process an image of one pixel with the given blue value, ``(3, h, w)``."""
        pixel = torch.tensor([blue, 0, 0], dtype=torch.uint8).view(3, 1, 1)
        sample = DetDataSample(metainfo=dict(img_shape=(1, 1), ori_shape=(1, 1)))
        batch = dict(inputs=[pixel], data_samples=[sample])  # as a loader yields it
        inputs: Tensor = self._preprocessor(batch, False)["inputs"]
        return inputs[0].float()

    def __call__(self, batch_inputs: Tensor) -> Tensor:
        """Convert ``(B, 3, H, W)`` normalised images to RGB in [0, 255]."""
        images = batch_inputs.float()
        if hasattr(self._preprocessor, "mean"):
            images = images * self._preprocessor.std + self._preprocessor.mean
        return images.flip(1) if self._is_bgr else images
