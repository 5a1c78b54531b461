"""Colours of the images that a data preprocessor has normalised."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImageColours:
    """Undo a data preprocessor: from its normalised images back to RGB in [0, 255].

    mmdet's loaders give BGR, and a preprocessor may reverse the channels. No public attribute
    reports that, so one coloured pixel is sent through the preprocessor and its channels are read.

    Args:
        preprocessor: of a detector; its buffers ``mean`` and ``std``, which mmengine registers if
            it normalises, are read at every call and follow the device.
    """

    def __init__(self, preprocessor: Any) -> None:
        self._preprocessor = preprocessor
        blue, black = (self._processed(value) for value in (255, 0))
        changed = (blue - black).abs().flatten(1).amax(1)  # (3,)
        self._is_bgr = bool(changed[0] > changed[2])

    def _processed(self, blue: int) -> Tensor:
        """Return the processed image ``(3, h, w)`` of one pixel whose blue channel is given."""
        pixel = torch.tensor([blue, 0, 0], dtype=torch.uint8).view(3, 1, 1)
        inputs: Tensor = self._preprocessor(dict(inputs=[pixel]), False)["inputs"]
        return inputs[0].float()

    def __call__(self, batch_inputs: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)`` RGB in [0, 255] of normalised images of the same shape."""
        images = batch_inputs.float()
        if hasattr(self._preprocessor, "mean"):
            images = images * self._preprocessor.std + self._preprocessor.mean
        return images.flip(1) if self._is_bgr else images
