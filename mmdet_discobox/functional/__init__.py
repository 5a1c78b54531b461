"""Floor 0: the paper's mathematics as pure functions of tensors. Imports torch only."""

from .affinity import colour_affinity, gather_neighbours, neighbour_offsets, sum_messages
from .appearance import appearance_evidence, colour_kernel
from .boxes import box_masks, box_projections, cover_centres, expand_boxes, masks_to_boxes
from .checks import check_ranges, check_shapes
from .colour import rgb_to_lab
from .consistency import consistency_ce, consistency_dice, mask_certainty
from .contrast import dense_nce
from .correspondence import cosine_similarity, geometric_votes, iterated_conditional_modes
from .cross_image import cross_image_logits
from .mean_field import mean_field, mean_field_alg1
from .mil import bag_logits, cut_axes, known_bags, mil_bce_loss, mil_dice_loss
from .numerics import constants_like, without_autocast
from .transfer import interpolate_matches, match_cells, transfer_masks, transfer_points
from .transport import marginal_residual, scale_to_marginals, sinkhorn, step_mass
from .unary import normalise_logits, raise_empty_bags, suppress_full_masks

__all__ = [
    "appearance_evidence",
    "bag_logits",
    "box_masks",
    "box_projections",
    "check_ranges",
    "check_shapes",
    "colour_affinity",
    "colour_kernel",
    "consistency_ce",
    "consistency_dice",
    "constants_like",
    "cosine_similarity",
    "cover_centres",
    "cross_image_logits",
    "cut_axes",
    "dense_nce",
    "expand_boxes",
    "interpolate_matches",
    "gather_neighbours",
    "geometric_votes",
    "iterated_conditional_modes",
    "known_bags",
    "marginal_residual",
    "mask_certainty",
    "masks_to_boxes",
    "match_cells",
    "mean_field",
    "mean_field_alg1",
    "mil_bce_loss",
    "mil_dice_loss",
    "neighbour_offsets",
    "normalise_logits",
    "raise_empty_bags",
    "rgb_to_lab",
    "scale_to_marginals",
    "sinkhorn",
    "step_mass",
    "sum_messages",
    "suppress_full_masks",
    "transfer_masks",
    "transfer_points",
    "without_autocast",
]
