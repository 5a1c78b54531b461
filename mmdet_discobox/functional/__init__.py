"""Floor 0: the paper's mathematics as pure functions of tensors. Imports torch only."""

from .affinity import colour_affinity, gather_neighbours, neighbour_offsets, sum_messages
from .boxes import box_masks, box_projections, expand_boxes, masks_to_boxes
from .checks import check_shapes
from .colour import rgb_to_lab
from .consistency import consistency_ce, consistency_dice
from .mean_field import mean_field, mean_field_alg1
from .mil import bag_logits, mil_bce_loss, mil_dice_loss
from .tightness import lift_to_box

__all__ = [
    "bag_logits",
    "box_masks",
    "box_projections",
    "check_shapes",
    "colour_affinity",
    "consistency_ce",
    "consistency_dice",
    "expand_boxes",
    "gather_neighbours",
    "lift_to_box",
    "masks_to_boxes",
    "mean_field",
    "mean_field_alg1",
    "mil_bce_loss",
    "mil_dice_loss",
    "neighbour_offsets",
    "rgb_to_lab",
    "sum_messages",
]
