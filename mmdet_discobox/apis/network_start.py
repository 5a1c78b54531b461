"""Coarse masks of boxes from a detector's own kernels or prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmcv.transforms import Compose
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_discobox.models.teachers import crop_regions
from mmdet_discobox.structures import BoxObjects

from .boxed_picture import BoxedPicture

_META = ("ori_shape", "img_shape", "scale_factor")


@dataclass(frozen=True)
class Seen:
    """A picture that the network has seen.

    Attributes:
        features: of the neck, ``(1, C, h, w)`` each.
        outputs: of the network's heads.
        img_shape: ``(height, width)`` of the resized picture, without padding.
        padded: ``(height, width)`` with padding.
        scale: ``(4,)`` pixels of the network per pixel of the picture, for x, y, x, y.
    """

    features: tuple[Tensor, ...]
    outputs: Any
    img_shape: tuple[int, int]
    padded: tuple[int, int]
    scale: Tensor


@dataclass(frozen=True)
class Start:
    """Where the refinement of G objects starts.

    Attributes:
        coarse: ``(G, S, S)`` mask logits, 0 where there is no prediction.
        predicted: ``(G,)`` boolean, objects that the network has a mask for.
        features: ``(G, C, s, s)`` RoI features for a cross-image term, None without one.
    """

    coarse: Tensor
    predicted: Tensor
    features: Tensor | None = None


class NetworkStart:
    """Ask a DiscoBox detector for the masks of boxes that are known.

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
    def see(self, pictures: Sequence[BoxedPicture]) -> list[Seen]:
        """Run backbone, neck and heads once per picture; the backbone sees those of one size at once.

        No picture is padded for the sake of another: its masks do not depend on its neighbours.
        """
        prepared = [self._prepare(picture) for picture in pictures]
        shapes = [(inputs.shape[-2], inputs.shape[-1]) for inputs, _ in prepared]
        seen: dict[int, Seen] = {}
        for shape in dict.fromkeys(shapes):
            chosen = [index for index, other in enumerate(shapes) if other == shape]
            batch = torch.cat([prepared[index][0] for index in chosen])
            features = self.network.extract_feat(batch)
            for row, index in enumerate(chosen):
                own = tuple(level[row : row + 1] for level in features)
                meta = prepared[index][1].metainfo
                scale = batch.new_tensor(meta.get("scale_factor", (1.0, 1.0))).repeat(2)
                outputs = self.network.head_outputs(own)
                seen[index] = Seen(own, outputs, meta["img_shape"][:2], shape, scale)
        return [seen[index] for index in range(len(pictures))]

    def _prepare(self, picture: BoxedPicture) -> tuple[Tensor, DetDataSample]:
        shape = picture.image.shape[:2]
        data = self.pipeline(dict(img=picture.image, img_shape=shape, ori_shape=shape))
        data = {key: [value] for key, value in data.items()}
        batch = self.model.data_preprocessor(data, False)
        return batch["inputs"], batch["data_samples"][0]

    @torch.no_grad()
    def __call__(self, seen: Seen, objects: BoxObjects, regions: Tensor, size: int) -> Start:
        """Predict the masks of the boxes of one picture.

        Objects that compete for a cell or an anchor are asked for in turns, until all that the
        network can give a mask have one.

        Args:
            seen: the picture.
            objects: G objects, in pixels of the picture.
            regions: ``(G, 4)`` what the grids lie over, in pixels of the picture.
            size: S.
        """
        resized = _resized(objects, seen)
        coarse = resized.boxes.new_zeros(len(resized), size, size)
        predicted = torch.zeros_like(objects.labels, dtype=torch.bool)
        left = torch.arange(len(resized), device=coarse.device)
        while len(left):
            asked = resized[left]
            positives = self.network.assign(seen.outputs, asked)
            proposals = self.network.mask_proposals(
                seen.outputs, positives, asked, seen.padded, one_per_object=True
            )
            logits, found = proposals.per_object()
            done = left[found]
            if not len(done):
                break
            grids = regions[done] * seen.scale / proposals.stride
            rows = torch.arange(len(done), device=coarse.device)
            coarse[done] = crop_regions(logits[found][:, None], grids, rows, size)[:, 0]
            predicted[done] = True
            left = left[~found]
        return Start(coarse, predicted, self._roi_features(seen, resized))

    def _roi_features(self, seen: Seen, resized: BoxObjects) -> Tensor | None:
        teacher = self.model.structured_teacher
        if teacher is None:
            return None
        features: Tensor | None = teacher.roi_features(seen.features, resized, seen.padded[1])
        return features


def _resized(objects: BoxObjects, seen: Seen) -> BoxObjects:
    """The objects in pixels of the network's image."""
    height, width = seen.img_shape
    limits = seen.scale.new_tensor([width, height]).repeat(2)
    return replace(
        objects,
        boxes=(objects.boxes * seen.scale).clamp_min(0).minimum(limits),
        image_sizes=seen.scale.new_tensor([[height, width]]),
    )
