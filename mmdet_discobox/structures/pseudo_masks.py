"""Refined masks of the structured teacher, as training targets and as images to inspect."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmdet_discobox.functional import check_shapes

from .correspondences import ContrastivePairs


@dataclass(frozen=True)
class PseudoMasks:
    """Refined masks on a grid of S x S cells over each object's box and its margin.

    Attributes:
        masks: ``(G, S, S)`` foreground marginals in [0, 1].
        inside: ``(G, S, S)`` boolean, cells whose centre lies in the object's box.
        regions: ``(G, 4)`` region covered by each grid, ``(x1, y1, x2, y2)`` in pixels.
        valid: ``(G,)`` boolean, objects whose mask is used as pseudo-label.
        certainty: ``(G,)`` certainty of each mask in [0, 1], see :func:`.mask_certainty`.
        roi_features: ``(G, C, s, s)`` RoI features of the objects; None without a cross-image term.
        pairs: the objects matched with objects of the bank; None without a cross-image term.
        is_true: ``(G,)`` boolean, objects whose mask is a true one; None without mixed supervision.
        true_iou: ``(G,)`` IoU of the refined mask with the true one that replaced it, 0 for an
            invalid mask and for the objects without a true one; None without mixed supervision.
    """

    masks: Tensor
    inside: Tensor
    regions: Tensor
    valid: Tensor
    certainty: Tensor
    roi_features: Tensor | None = None
    pairs: ContrastivePairs | None = None
    is_true: Tensor | None = None
    true_iou: Tensor | None = None

    def __post_init__(self) -> None:
        check_shapes(
            masks=(self.masks, "G S S"),
            inside=(self.inside, "G S S"),
            regions=(self.regions, "G 4"),
            valid=(self.valid, "G"),
            certainty=(self.certainty, "G"),
        )


@dataclass(frozen=True)
class PseudoLabelImage:
    """A training image with the masks of student and teacher, in pixels, for visualization.

    The image is resized, flipped and cropped to its valid area like the input of the network.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels.
        student: ``(G, H, W)`` boolean masks predicted by the student for these boxes.
        teacher: ``(G, H, W)`` boolean refined masks.
        valid: ``(G,)`` boolean, objects whose refined mask is used as pseudo-label.
        true: ``(G, H, W)`` boolean true masks, empty for objects without one; None without mixed
            supervision.
    """

    image: Tensor
    boxes: Tensor
    student: Tensor
    teacher: Tensor
    valid: Tensor
    true: Tensor | None = None

    def __post_init__(self) -> None:
        check_shapes(
            image=(self.image, "H W 3"),
            boxes=(self.boxes, "G 4"),
            student=(self.student, "G H W"),
            teacher=(self.teacher, "G H W"),
            valid=(self.valid, "G"),
        )
