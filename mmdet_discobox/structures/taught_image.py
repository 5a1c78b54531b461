"""A training picture with what the student says and the teacher teaches about its boxes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmdet_discobox.functional import check_shapes


@dataclass(frozen=True)
class TaughtImage:
    """A picture as the networks see it: resized, flipped, without its padding.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels.
        student: ``(G, H, W)`` boolean masks of the student for these boxes.
        teacher: ``(G, H, W)`` boolean refined masks.
        valid: ``(G,)`` boolean, objects whose refined mask may teach.
    """

    image: Tensor
    boxes: Tensor
    student: Tensor
    teacher: Tensor
    valid: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            image=(self.image, "H W 3"),
            boxes=(self.boxes, "G 4"),
            student=(self.student, "G H W"),
            teacher=(self.teacher, "G H W"),
            valid=(self.valid, "G"),
        )
