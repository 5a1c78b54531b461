"""Colour perturbation of the student's images."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_discobox.functional import check_ranges


class ColourJitter:
    """Perturb the colours of normalised images, each image by random amounts of its own.

    The teacher network and the mean field see the clean image, so the student learns masks that do
    not depend on the light (BoxTeacher, arXiv 2210.05174, Sec. 3.4; not in the paper). Needs no
    synchronisation with the device. Amounts are relative to normalised images, whose values have a
    standard deviation of about 1.

    Args:
        brightness: largest change of all values.
        contrast: largest relative change of the distances to the mean of the image.
        saturation: largest relative change of the distances to grey.
        grey: probability of an image without colours.

    Raises:
        ValueError: if ``brightness`` is negative, or another argument outside [0, 1].
    """

    def __init__(
        self,
        *,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        grey: float = 0.1,
    ) -> None:
        check_ranges(
            brightness=(brightness, "[0, inf)"),
            contrast=(contrast, "[0, 1]"),
            saturation=(saturation, "[0, 1]"),
            grey=(grey, "[0, 1]"),
        )
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.grey = grey

    def __call__(self, images: Tensor) -> Tensor:
        """Perturb ``(B, 3, H, W)`` normalised images."""
        amounts = 2 * torch.rand(3, len(images), 1, 1, 1, device=images.device) - 1
        brightness, contrast, saturation = amounts.to(images.dtype)
        colourful = torch.rand_like(saturation) >= self.grey
        grey, mean = images.mean(1, keepdim=True), images.mean((1, 2, 3), keepdim=True)
        images = grey + (images - grey) * (1 + self.saturation * saturation) * colourful
        return (
            mean + (images - mean) * (1 + self.contrast * contrast) + self.brightness * brightness
        )
