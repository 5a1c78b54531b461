"""The structured teacher at test time, on predicted masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from mmdet.utils import OptConfigType
from torch import Tensor

from mmdet_discobox.functional import expand_boxes, masks_to_boxes
from mmdet_discobox.structures import BoxObjects

from .crops import box_windows, crop_masks, paste_window
from .structured_teacher import StructuredTeacher

#: masks refined at a time, which bounds the memory
_CHUNK_SIZE = 32
#: side of the averaging window, in cells, that makes the border of a predicted mask uncertain
_BORDER = 5


@TASK_UTILS.register_module()
class PredictionRefiner:
    """Move the borders of predicted masks to colour edges with the structured teacher.

    Not in the paper, which uses the predictions of the student. The student only approximates the
    borders of its teacher, limited by its mask grid; the test image has the original edges.

    Needs no training and works with the masks of any network. The box of an object is that of its
    predicted mask, slightly enlarged. (With the predicted boxes of YOLACT, the masks were worse.)

    Args:
        min_score: masks with a lower score are not refined.
        grow: fraction of the width and height by which a box is enlarged on every side.
        certainty: log-odds in the interior of a predicted mask; they fall to 0 at its border.
        min_overlap: smallest IoU between refined and predicted mask, on the grid of the teacher.
            Below it the predicted mask is kept, because the refined one covers another object; most
            of these predictions are scattered.
        teacher: arguments of the :class:`StructuredTeacher`, without a cross-image term. Its
            ``unary_rms`` is None by default, so that ``certainty`` is the weight of a mask.

    Raises:
        ValueError: for a negative ``grow``, or wrong settings of the teacher.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.05,
        grow: float = 0.03,
        certainty: float = 2.5,
        min_overlap: float = 0.5,
        teacher: OptConfigType = None,
    ) -> None:
        if grow < 0:
            raise ValueError(f"Expected `grow` to be at least 0 but got {grow}.")
        self.min_score = min_score
        self.grow = grow
        self.certainty = certainty
        self.min_overlap = min_overlap
        teacher = dict(teacher or {})
        teacher["refiner"] = dict(unary_rms=None) | dict(teacher.get("refiner") or {})
        self.teacher = StructuredTeacher(**teacher)

    @torch.no_grad()
    def __call__(self, image: Tensor, masks: Tensor, scores: Tensor) -> Tensor:
        """Refine the masks of an image.

        Args:
            image: ``(3, h, w)`` RGB in [0, 255]; its resolution may differ from that of the masks.
            masks: ``(N, H, W)`` boolean.
            scores: ``(N,)``.

        Returns:
            ``(N, H, W)`` boolean. Masks with a low score or overlap and empty masks are unchanged.
        """
        selected = ((scores >= self.min_score) & masks.flatten(1).any(1)).nonzero()[:, 0]
        refined = masks.clone()
        for rows in selected.split(_CHUNK_SIZE):
            self._refine_rows(image, refined, rows)
        return refined

    def _refine_rows(self, image: Tensor, masks: Tensor, rows: Tensor) -> None:
        """Refine some of the masks in place."""
        size = (masks.shape[-2], masks.shape[-1])
        limits = rows.new_tensor([size[1], size[0]]).repeat(2)
        predicted = masks[rows]
        boxes = expand_boxes(masks_to_boxes(predicted), self.grow).clamp_min(0).minimum(limits)
        regions = expand_boxes(boxes, self.teacher.margin)
        coverage = crop_masks(predicted, regions, self.teacher.crop_size)
        coverage = F.avg_pool2d(
            coverage[:, None], _BORDER, stride=1, padding=_BORDER // 2, count_include_pad=False
        )[:, 0]
        pseudo = self.teacher.refine_grids(
            self.certainty * (2 * coverage - 1),
            torch.ones_like(rows, dtype=torch.bool),
            _objects(boxes, size, image),
            image[None],
        )
        before, after = coverage > 0.5, pseudo.masks > 0.5
        overlap = (before & after).sum((1, 2)) / (before | after).sum((1, 2)).clamp_min(1)
        kept = overlap >= self.min_overlap
        windows = box_windows(boxes[kept], size)
        for row, grid, region, window in zip(
            rows[kept].tolist(), pseudo.masks[kept], regions[kept], windows, strict=True
        ):
            x1, y1, x2, y2 = window
            masks[row] = False
            masks[row, y1:y2, x1:x2] = paste_window(grid, region, window)


def _objects(boxes: Tensor, size: tuple[int, int], image: Tensor) -> BoxObjects:
    """Convert boxes in pixels of ``size`` to the objects of an image ``(3, h, w)``."""
    height, width = image.shape[-2:]
    zeros = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    return BoxObjects(
        boxes=boxes * boxes.new_tensor([width / size[1], height / size[0]]).repeat(2),
        labels=zeros,
        image_inds=zeros,
        image_sizes=boxes.new_tensor([[height, width]]),
        image_ids=zeros - 1,
    )
