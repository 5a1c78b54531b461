"""The structured teacher at test time: borders of predicted masks moved to edges of colour."""

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

#: masks refined at once, a bound of the memory
_AT_ONCE = 32
#: cells along each side over which the border of a mask is uncertain
_BORDER = 5


@TASK_UTILS.register_module()
class PredictionRefiner:
    """Refine predicted masks as the structured teacher refines those of a training.

    Not in the paper, whose students are used as they are. What a student learns of its teacher's
    borders is blurred by its grid and its errors; the picture that it is tested on has them.

    It knows no network and needs no training: masks and colours in, masks out. The box of an object
    is that of its predicted mask, made a little larger, as it is too small as often as too large.
    (Boxes that a YOLACT predicts beside its masks were tried, and are worse.)

    Args:
        min_score: masks of a lower score stay as they are.
        grow: share of the box's side that is added on every side of it.
        certainty: log-odds of the middle of a predicted mask; towards its border they fall to 0.
        min_overlap: a refined mask that has a smaller IoU with the predicted one is another object,
            and dropped; most of these are masks of scattered parts.
        teacher: arguments of the :class:`StructuredTeacher`, without a cross-image term.

    Raises:
        ValueError: for a negative ``grow``, or settings that the teacher refuses.
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
            raise ValueError(f"Expected `grow` to be 0 or more but got {grow}.")
        self.min_score = min_score
        self.grow = grow
        self.certainty = certainty
        self.min_overlap = min_overlap
        self.teacher = StructuredTeacher(**(teacher or {}))

    @torch.no_grad()
    def __call__(self, image: Tensor, masks: Tensor, scores: Tensor) -> Tensor:
        """Refine the masks of a picture.

        Args:
            image: ``(3, h, w)`` RGB in [0, 255], of any resolution.
            masks: ``(N, H, W)`` boolean.
            scores: ``(N,)``.

        Returns:
            ``(N, H, W)`` boolean. Masks of low scores, empty ones, and those whose refined mask is
            dropped are those of before.
        """
        chosen = ((scores >= self.min_score) & masks.flatten(1).any(1)).nonzero()[:, 0]
        refined = masks.clone()
        for rows in chosen.split(_AT_ONCE):
            self._refine(image, masks[rows], into=refined, rows=rows)
        return refined

    def _refine(self, image: Tensor, masks: Tensor, *, into: Tensor, rows: Tensor) -> None:
        size = (masks.shape[-2], masks.shape[-1])
        limits = rows.new_tensor([size[1], size[0]]).repeat(2)
        boxes = expand_boxes(masks_to_boxes(masks), self.grow).clamp_min(0).minimum(limits)
        each = torch.arange(len(masks), device=masks.device)
        regions = expand_boxes(boxes, self.teacher.margin)
        shares = crop_masks(masks, regions, self.teacher.crop_size)
        # towards its border a predicted mask is less certain, as the network's own logits are
        blurred = F.avg_pool2d(shares[:, None], _BORDER, 1, _BORDER // 2, count_include_pad=False)
        shares = blurred[:, 0]
        height, width = image.shape[-2:]
        scale = boxes.new_tensor([width / size[1], height / size[0]]).repeat(2)
        objects = BoxObjects(
            boxes=boxes * scale,
            labels=torch.zeros_like(each),
            image_inds=torch.zeros_like(each),
            image_sizes=boxes.new_tensor([[height, width]]),
            image_ids=torch.full_like(each, -1),
        )
        pseudo = self.teacher.refine_grids(
            self.certainty * (2 * shares - 1), torch.ones_like(each, dtype=torch.bool), objects,
            image[None],
        )  # fmt: skip
        before, after = shares > 0.5, pseudo.masks > 0.5
        overlap = (before & after).sum((1, 2)) / (before | after).sum((1, 2)).clamp_min(1)
        kept = overlap >= self.min_overlap
        for grid, region, window, row in zip(
            pseudo.masks[kept], regions[kept], box_windows(boxes[kept], size), rows[kept].tolist(),
            strict=True,
        ):  # fmt: skip
            x1, y1, x2, y2 = window
            into[row] = False
            into[row, y1:y2, x1:x2] = paste_window(grid, region, window)
