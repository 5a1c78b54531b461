"""Coarse masks of given boxes, from a detector's own kernels or prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import torch
from mmcv.transforms import Compose
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_discobox.models.teachers import crop_regions
from mmdet_discobox.structures import BoxObjects

from .boxed_image import BoxedImage, UnusableImageError

_META = ("ori_shape", "img_shape", "scale_factor")


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image at the scale of the network.

    Attributes:
        features: of the neck, ``(1, C, h, w)`` each.
        outputs: raw outputs of the network's heads.
        img_shape: ``(height, width)`` of the resized image, without padding.
        padded: ``(height, width)`` with padding.
        scale: ``(4,)`` pixels of the network's input per pixel of the image, for x, y, x, y.
    """

    features: tuple[Tensor, ...]
    outputs: Any
    img_shape: tuple[int, int]
    padded: tuple[int, int]
    scale: Tensor


@dataclass(frozen=True)
class CoarseMasks:
    """The coarse masks of G objects, from which the refinement starts.

    Attributes:
        coarse: ``(G, S, S)`` mask logits, 0 where there is no prediction.
        predicted: ``(G,)`` boolean, objects for which the network predicted a mask.
        features: ``(G, C, s, s)`` RoI features for a cross-image term, None without one.
        views: ``(G,)`` mean IoU of the masks that a network made of several crops of an object, a
            sign of quality; None if it looked once.
    """

    coarse: Tensor
    predicted: Tensor
    features: Tensor | None = None
    views: Tensor | None = None


class CoarseMaskPredictor:
    """Predict the coarse masks of given boxes with a DiscoBox detector.

    Masks come from the averaged teacher network if the checkpoint has one, else from the student.

    Args:
        model: a detector with :class:`StructuredTeachingMixin`, on its device; it is put into
            evaluation mode.
        transforms: the transforms of the test pipeline between loading and packing.
    """

    def __init__(self, model: Any, transforms: Sequence[Any] = ()) -> None:
        self.model = model.eval()
        self.network = model.teaching_network
        self.pipeline = Compose([*transforms, PackDetInputs(meta_keys=_META)])

    @torch.no_grad()
    def extract(self, images: Sequence[BoxedImage]) -> list[ImageFeatures]:
        """Run backbone, neck and heads once per image, the backbone on all of one padded size.

        The size of an image does not depend on the other images, and so neither do its masks.
        """
        prepared = [self._prepare(image) for image in images]
        shapes = [(inputs.shape[-2], inputs.shape[-1]) for inputs, _ in prepared]
        extracted: dict[int, ImageFeatures] = {}
        for shape in dict.fromkeys(shapes):
            chosen = [index for index, other in enumerate(shapes) if other == shape]
            batch = torch.cat([prepared[index][0] for index in chosen])
            features = self.network.extract_feat(batch)
            for row, index in enumerate(chosen):
                own = tuple(level[row : row + 1] for level in features)
                meta = prepared[index][1].metainfo
                scale = batch.new_tensor(meta.get("scale_factor", (1.0, 1.0))).repeat(2)
                outputs = self.network.head_outputs(own)
                img_shape = meta["img_shape"][:2]
                extracted[index] = ImageFeatures(own, outputs, img_shape, shape, scale)
        return [extracted[index] for index in range(len(images))]

    def _prepare(self, image: BoxedImage) -> tuple[Tensor, DetDataSample]:
        shape = image.pixels.shape[:2]
        try:
            data = self.pipeline(dict(img=image.pixels, img_shape=shape, ori_shape=shape))
        except cv2.error as error:
            raise UnusableImageError(
                f"Expected an image that the pipeline can resize, but {shape[1]} x {shape[0]} "
                "pixels are so elongated that a side vanishes. Cut it into tiles."
            ) from error
        data = {key: [value] for key, value in data.items()}
        batch = self.model.data_preprocessor(data, False)
        return batch["inputs"], batch["data_samples"][0]

    @torch.no_grad()
    def __call__(
        self, image: ImageFeatures, rgb: Tensor, objects: BoxObjects, regions: Tensor, size: int
    ) -> CoarseMasks:
        """Predict the masks of the boxes of one image.

        Objects that compete for a cell or an anchor are assigned in several rounds, until no
        further object gets one.

        Args:
            image: the features of the image.
            rgb: the image; not used.
            objects: G objects, in pixels of the image.
            regions: ``(G, 4)`` region of each object's grid, in pixels of the image.
            size: S.
        """
        resized = _resized(objects, image)
        coarse = resized.boxes.new_zeros(len(resized), size, size)
        predicted = torch.zeros_like(objects.labels, dtype=torch.bool)
        left = torch.arange(len(resized), device=coarse.device)
        while len(left):
            asked = resized[left]
            positives = self.network.assign(image.outputs, asked)
            proposals = self.network.mask_proposals(
                image.outputs, positives, asked, image.padded, one_per_object=True
            )
            logits, found = proposals.per_object()
            done = left[found]
            if not len(done):
                break
            grids = regions[done] * image.scale / proposals.stride
            rows = torch.arange(len(done), device=coarse.device)
            coarse[done] = crop_regions(logits[found][:, None], grids, rows, size)[:, 0]
            predicted[done] = True
            left = left[~found]
        return CoarseMasks(coarse, predicted, self._roi_features(image, resized))

    def _roi_features(self, image: ImageFeatures, resized: BoxObjects) -> Tensor | None:
        teacher = self.model.structured_teacher
        if teacher is None:
            return None
        features: Tensor | None = teacher.roi_features(image.features, resized, image.padded[1])
        return features


def _resized(objects: BoxObjects, image: ImageFeatures) -> BoxObjects:
    """Return the objects in pixels of the network's input, clipped to the image."""
    height, width = image.img_shape
    limits = image.scale.new_tensor([width, height]).repeat(2)
    return replace(
        objects,
        boxes=(objects.boxes * image.scale).clamp_min(0).minimum(limits),
        image_sizes=image.scale.new_tensor([[height, width]]),
    )


def ellipse_logits(boxes: Tensor, regions: Tensor, size: int) -> Tensor:
    """Compute the log-odds of the ellipse in a box: 4 at its centre, 0 on the ellipse.

    Args:
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)``.
        regions: ``(G, 4)`` region of each grid.
        size: cells S along each side of the grids.

    Returns:
        ``(G, S, S)``.
    """
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size  # (S,)
    half = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1e-6) / 2
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    sides = regions[:, 2:] - regions[:, :2]
    points = regions[:, None, :2] + steps[:, None] * sides[:, None]  # (G, S, 2)
    squares = ((points - centres[:, None]) / half[:, None]) ** 2
    return 4 * (1 - squares[:, None, :, 0] - squares[:, :, None, 1])
