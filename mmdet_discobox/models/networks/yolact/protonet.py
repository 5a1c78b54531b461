"""YOLACT's prototypes under box supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import constants_like
from mmdet_discobox.models.teachers import crop_regions
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks

from .bbox_head import MaskCoefficients
from .rescoring_protonet import RescoringProtonet
from .semantic_targets import semantic_targets

#: how far the two axes may disagree on the pixels per cell
_TOLERANCE = 0.01


@MODELS.register_module()
class DiscoBoxYOLACTProtonet(RescoringProtonet):
    """YOLACT's mask head that trains from boxes (Sec. 3.1).

    Layers, keys and predictions are those of its parent. It differs in four places:

    1. Masks of positive anchors are returned to the detector, which compares them with their
       boxes. They are not cropped: the pixels outside the box are the negative bags of ``L_mil``.
       (The parent crops before its pixelwise loss; here re-scoring and prediction crop.)
    2. Masks are logits, not clamped probabilities: the gradient of a loss is bounded, in low
       precision too. Nor is a loss divided by the area of the box, which for a box of one pixel
       multiplies it by a hundred thousand.
    3. Re-scoring learns the IoU with the teacher's refined masks.
    4. The semantic branch, off by default, learns from them too.

    Args:
        *args: arguments of the parent.
        with_seg_branch: whether there is a semantic branch; see :func:`semantic_targets`.
        **kwargs: keyword arguments of the parent.
    """

    def __init__(self, *args: Any, with_seg_branch: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, with_seg_branch=with_seg_branch, **kwargs)

    def mask_proposals(
        self,
        prototypes: Tensor,
        coefficients: MaskCoefficients,
        objects: BoxObjects,
        frame: tuple[int, int],
    ) -> MaskProposals:
        """Combine the prototypes into masks.

        Args:
            prototypes: ``(B, P, H, W)``.
            coefficients: of the masks.
            objects: the objects that they belong to.
            frame: ``(height, width)`` in pixels of the batch, which the prototypes cover.

        Returns:
            One proposal for each row of coefficients.

        Raises:
            ValueError: if the prototypes have different scales along the two axes.
        """
        # n masks, p prototypes, h rows, w columns; one product for each image
        logits = [
            torch.einsum("np,phw->nhw", rows.to(image), image)
            for image, rows in zip(
                prototypes, coefficients.values.split(coefficients.image_counts), strict=True
            )
        ]
        return MaskProposals(
            logits=torch.cat(logits),
            object_inds=coefficients.object_inds,
            objects=objects,
            stride=_pixels_per_cell(frame, prototypes.shape[-2:]),
        )

    def losses_on_refined(
        self, features: Sequence[Tensor], proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> dict[str, Tensor]:
        """Compute ``loss_rescoring`` and ``loss_segm``, each where its layers are configured.

        Args:
            features: feature maps of the neck.
            proposals: the student's masks.
            pseudo: the refined masks of the same objects, or None if there are none yet.

        Returns:
            The losses, zero (and part of the graph) without refined masks.
        """
        losses = {}
        if self.rescoring is not None:
            losses["loss_rescoring"] = self._rescoring_loss(proposals, pseudo)
        if self.with_seg_branch:
            losses["loss_segm"] = self._semantic_loss(features[0], proposals, pseudo)
        return losses

    def _rescoring_loss(self, proposals: MaskProposals, pseudo: PseudoMasks | None) -> Tensor:
        if pseudo is None:
            proposals = MaskProposals(
                proposals.logits[:0], proposals.object_inds[:0], proposals.objects, proposals.stride
            )
        logits = proposals.logits.detach()
        boxes = proposals.boxes / proposals.stride  # in cells
        probs = self._crop(logits.sigmoid(), boxes)
        ious, areas, valid = _fit(logits, proposals, pseudo)
        loss: Tensor = self.rescoring.loss(probs, proposals.labels, ious, areas, valid)
        return loss

    def _semantic_loss(
        self, feature: Tensor, proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> Tensor:
        """Compare the semantic branch with refined masks; the parent's mean over the cells."""
        if pseudo is None:
            return self.segm_branch(feature[:0]).float().sum()  # of no image: zero
        logits = self.segm_branch(feature).float()  # (B, classes, h, w)
        height, width = logits.shape[-2:]
        present, known = semantic_targets(
            pseudo,
            proposals.objects,
            stride=proposals.stride * proposals.logits.shape[-1] / width,
            size=(height, width),
            num_classes=self.num_classes,
        )
        # The parent's channels are one behind its labels; so are those of its checkpoints.
        present, known = present.roll(-1, 1), known.roll(-1, 1)
        loss: Tensor = self.loss_segm(
            logits, present.float(), known.float(), avg_factor=len(logits) * height * width
        )
        return loss

    def _crop(self, probs: Tensor, boxes: Tensor) -> Tensor:
        """Set masks ``(N, H, W)`` to zero outside their boxes, as at test time."""
        height, width = probs.shape[-2:]
        relative = boxes / constants_like([width, height, width, height], boxes)
        cropped: Tensor = self.crop_single(probs.permute(1, 2, 0), relative)
        return cropped.permute(2, 0, 1)


def _pixels_per_cell(frame: tuple[int, int], grid: Sequence[int]) -> float:
    rows, cols = (pixels / cells for pixels, cells in zip(frame, grid, strict=True))
    if abs(rows - cols) > _TOLERANCE * cols:
        raise ValueError(
            f"Expected prototypes of equal scale along both axes but a batch of {frame} pixels has "
            f"{tuple(grid)} cells. Pad images to a square or to multiples of 8 pixels "
            "(`pad_size_divisor` of the data preprocessor)."
        )
    return cols


def _fit(
    logits: Tensor, proposals: MaskProposals, pseudo: PseudoMasks | None
) -> tuple[Tensor, Tensor, Tensor]:
    """IoU with the refined masks, their areas in cells of the prototypes, and their validity."""
    if pseudo is None:
        nothing = logits.new_zeros(0)
        return nothing, nothing, nothing.bool()
    inds = proposals.object_inds
    regions = pseudo.regions[inds] / proposals.stride
    size = pseudo.masks.shape[-1]
    rows = torch.arange(len(inds), device=logits.device)
    ours = crop_regions(logits[:, None], regions, rows, size)[:, 0] > 0  # (N, S, S)
    ours, theirs = ours & pseudo.inside[inds], pseudo.masks[inds] > 0.5
    overlap, filled = (ours & theirs).sum((1, 2)), theirs.sum((1, 2))
    ious = overlap / (ours | theirs).sum((1, 2)).clamp_min(1)
    sides = regions[:, 2:] - regions[:, :2]
    return ious, filled * sides.prod(1) / size**2, pseudo.valid[inds]
