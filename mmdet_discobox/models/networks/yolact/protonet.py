"""The mask head of YOLACT under box supervision."""

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

#: tolerated relative difference between the pixels per cell along the two axes
_TOLERANCE = 0.01


@MODELS.register_module()
class DiscoBoxYOLACTProtonet(RescoringProtonet):
    """Mask head of YOLACT with the layers, keys and predictions of its parent (Sec. 3.1).

    It differs in three places:

    1. Training masks are not cropped to their boxes, because rows and columns outside the box are
       the negative bags of ``L_mil``. Re-scoring and prediction crop them.
    2. Training masks are logits instead of clamped probabilities, and no loss is divided by the
       area of the box, so gradients are bounded, also in half precision and for tiny boxes.
    3. Re-scoring and the semantic branch, which is off by default, are trained by refined masks.

    Args:
        *args: arguments of the parent.
        with_seg_branch: add the semantic branch, see :func:`semantic_targets`.
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
        """Combine the prototypes into one mask for each row of coefficients.

        Args:
            prototypes: ``(B, P, H, W)``.
            coefficients: coefficients of the masks.
            objects: the objects of the batch.
            frame: ``(height, width)`` in pixels of the padded batch, which the prototypes cover.

        Raises:
            ValueError: if the pixels per cell of the prototypes differ between the two axes.
        """
        # n: mask, p: prototype, h, w: row and column of the grid
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

    def pseudo_mask_losses(
        self, features: Sequence[Tensor], proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> dict[str, Tensor]:
        """Compute ``loss_rescoring`` and ``loss_segm``, each if its layers are configured.

        Args:
            features: feature maps of the neck.
            proposals: masks of the student.
            pseudo: refined masks of the same objects; with None the losses are zero and attached to
                the graph.
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
        ious, areas, valid = _rescoring_targets(logits, proposals, pseudo)
        return self.rescoring.loss(probs, proposals.labels, ious, areas, valid)

    def _semantic_loss(
        self, feature: Tensor, proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> Tensor:
        """Compute the parent's loss of the semantic branch with targets from refined masks."""
        if pseudo is None:
            return self.segm_branch(feature[:0]).float().sum()  # zero, attached to the graph
        logits = self.segm_branch(feature).float()  # (B, classes, h, w)
        height, width = logits.shape[-2:]
        present, known = semantic_targets(
            pseudo,
            proposals.objects,
            stride=proposals.stride * proposals.logits.shape[-1] / width,
            size=(height, width),
            num_classes=self.num_classes,
        )
        # the parent, and so its checkpoints, store class c in channel c - 1
        present, known = present.roll(-1, 1), known.roll(-1, 1)
        return self.loss_segm(
            logits, present.float(), known.float(), avg_factor=len(logits) * height * width
        )

    def _crop(self, probs: Tensor, boxes: Tensor) -> Tensor:
        """Set masks ``(N, H, W)`` to zero outside their boxes in cells, as at test time."""
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


def _rescoring_targets(
    logits: Tensor, proposals: MaskProposals, pseudo: PseudoMasks | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute IoUs with the refined masks, and their areas in prototype cells and validity."""
    if pseudo is None:
        empty = logits.new_zeros(0)
        return empty, empty, empty.bool()
    inds = proposals.object_inds
    regions = pseudo.regions[inds] / proposals.stride
    size = pseudo.masks.shape[-1]
    rows = torch.arange(len(inds), device=logits.device)
    student = crop_regions(logits[:, None], regions, rows, size)[:, 0] > 0  # (N, S, S)
    student, teacher = student & pseudo.inside[inds], pseudo.masks[inds] > 0.5
    overlap, filled = (student & teacher).sum((1, 2)), teacher.sum((1, 2))
    ious = overlap / (student | teacher).sum((1, 2)).clamp_min(1)
    sides = regions[:, 2:] - regions[:, :2]
    return ious, filled * sides.prod(1) / size**2, pseudo.valid[inds]
