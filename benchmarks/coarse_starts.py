"""Coarse masks derived from human masks, to measure how well a teacher refines them.

Each kind is a probability map of one object, deterministic for a seed. Lengths are shares of
``sqrt(width * height)`` of the object's box, except for ``coarse``, which depends on the stride of
a network. Binary masks have probabilities ``SURE`` and ``1 - SURE``.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from annotated_images import STRIDE

SURE = 0.95

Start = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def mean_side(box: np.ndarray) -> float:
    """Return the geometric mean of the sides of a box ``(x1, y1, x2, y2)``, at least 1."""
    return max(float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]))), 1.0)


def ellipse(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill the largest ellipse in the box."""
    rows, cols = np.indices(mask.shape) + 0.5
    x1, y1, x2, y2 = box
    x, y = 2 * (cols - x1) / (x2 - x1) - 1, 2 * (rows - y1) / (y2 - y1) - 1
    return _to_probs(x**2 + y**2 <= 1)


def filled_box(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill the box."""
    rows, cols = np.indices(mask.shape) + 0.5
    x1, y1, x2, y2 = box
    return _to_probs((x1 <= cols) & (cols < x2) & (y1 <= rows) & (rows < y2))


def eroded(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Erode the mask by 6 % (at most half its greatest depth)."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return _to_probs(depth > min(0.06 * mean_side(box), depth.max() / 2))


def dilated(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dilate the mask by 6 %."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return _to_probs(distance <= 0.06 * mean_side(box))


def coarse(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce the mask to 1/16 of the resolution and add noise of 0.2, like a deep level."""
    height, width = mask.shape
    small = (-(-width // 16), -(-height // 16))
    padded = np.pad(
        mask.astype(np.float32), ((0, 16 * small[1] - height), (0, 16 * small[0] - width))
    )
    probs = cv2.resize(padded, small, interpolation=cv2.INTER_AREA)
    probs = probs + rng.normal(0, 0.2, probs.shape).astype(np.float32)
    large = cv2.resize(probs, padded.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return large[:height, :width]


def soft(mask: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur the mask by 7 % and add smooth noise of 0.15, like a student in training."""
    noise = _smooth(rng.normal(size=mask.shape).astype(np.float32), 0.12 * mean_side(box))
    return _smooth(mask.astype(np.float32), 0.07 * mean_side(box)) + 0.15 * noise / noise.std()


STARTS: dict[str, Start] = {
    "ellipse": ellipse,
    "box": filled_box,
    "eroded": eroded,
    "dilated": dilated,
    "coarse": coarse,
    "soft": soft,
}


def start_logits(kind: str, masks: np.ndarray, boxes: np.ndarray, *, seed: int) -> np.ndarray:
    """Compute the log-odds of the starts of one image on the grid of stride 4.

    Args:
        kind: a key of :data:`STARTS`.
        masks: ``(G, h, w)`` boolean human masks; h and w are multiples of 4.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels.
        seed: seed of the noise.

    Returns:
        ``(G, h / 4, w / 4)`` float32.
    """
    rng = np.random.default_rng(seed)
    height, width = masks.shape[1] // STRIDE, masks.shape[2] // STRIDE
    logits = np.zeros((len(masks), height, width), np.float32)
    for logit, mask, box in zip(logits, masks, boxes, strict=True):
        probs = STARTS[kind](mask, box, rng).astype(np.float32)
        probs = cv2.resize(probs, (width, height), interpolation=cv2.INTER_AREA)
        probs = probs.clip(1 - SURE, SURE)
        logit[:] = np.log(probs / (1 - probs))
    return logits


def _to_probs(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, SURE, 1 - SURE).astype(np.float32)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.5), borderType=cv2.BORDER_REPLICATE)
