r"""Percentage of correct key points (PCK) of a pair of pictures.

A transferred key point is correct if its distance to the true one is within :math:`\alpha L`, with
a reference length :math:`L` of the picture or of the object in it. Code bases resize the pictures
first, but of that only one thing is left in the result. Distances and lengths scale alike, so the
size they resize to cancels, and so does padding, which shifts both points alike. What matters is
whether the aspect ratio is kept:

* ``isotropic``: it is. Distances are measured in the picture as it is.
* ``square``: it is not, the picture is squashed to a square. The sides then weigh differently: in
  a picture of 500 x 375 and with the side of the square as length, :math:`\alpha = 0.1` accepts 50
  pixels along the width, but 37.5 along the height. The isotropic rule accepts 50 either way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESIZES = ("isotropic", "square")
LENGTHS = ("img", "bbox", "keypoints")


def stretch(resize: str, size: tuple[float, float] | None) -> NDArray[np.float64]:
    """Return the factors that a resize rule multiplies x and y with.

    Args:
        resize: "isotropic" or "square". Sizes cancel, so the long side is left as it is.
        size: Width and height of the picture in pixels, for "square".

    Returns:
        ``(2,)``.

    Raises:
        ValueError: If the size is needed, but None.
    """
    if resize == "isotropic":
        return np.ones(2)
    if size is None:
        raise ValueError("Expected `size` of the picture for resize='square', but got None.")
    return max(size) / np.array(size, dtype=np.float64)


def reference_length(
    kind: str,
    *,
    size: tuple[float, float] | None = None,
    box: ArrayLike | None = None,
    points: ArrayLike | None = None,
    factors: ArrayLike = (1.0, 1.0),
) -> float:
    """Measure the length L that thresholds are fractions of.

    Args:
        kind: "img", the long side of the picture; "bbox", that of the object's box; or
            "keypoints", the larger extent of the key points that count.
        size: Width and height of the picture in pixels, for "img".
        box: ``(x1, y1, x2, y2)`` in pixels, for "bbox".
        points: ``(K, 2)`` in pixels, for "keypoints".
        factors: ``(2,)`` of :func:`stretch`.

    Returns:
        The length in pixels of the stretched picture, whose long side is that of the picture.

    Raises:
        ValueError: If what the kind needs is None.
    """
    needed = {"img": size, "bbox": box, "keypoints": points}[kind]
    if needed is None:
        raise ValueError(
            f"Expected what length='{kind}' is measured on, but got None. A set without boxes, "
            "such as PF-WILLOW or a csv of PF-PASCAL, has length='keypoints' or 'img'."
        )
    if kind == "img":  # the square has the long side, too
        return float(max(np.asarray(needed)))
    corners = np.asarray(needed, dtype=np.float64).reshape(-1, 2)  # a box is two points
    extent = np.ptp(corners, axis=0) if len(corners) else np.zeros(2)
    return float((extent * np.asarray(factors)).max())


def transfer_errors(
    predicted: ArrayLike, target: ArrayLike, *, factors: ArrayLike = (1.0, 1.0)
) -> NDArray[np.float64]:
    """Measure how far transferred key points are from the true ones.

    Args:
        predicted: ``(K, 2)`` in pixels.
        target: ``(K, 2)`` in pixels of the same picture.
        factors: ``(2,)`` of :func:`stretch`.

    Returns:
        ``(K,)`` distances in pixels of the stretched picture, NaN where a point is NaN.

    Raises:
        ValueError: If the two are not of the same shape ``(K, 2)``.
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    target = np.asarray(target, dtype=np.float64)
    if predicted.shape != target.shape or target.shape[1:] != (2,):
        raise ValueError(
            "Expected `predicted` and `target` of the same shape (K, 2), but got "
            f"{predicted.shape} and {target.shape}."
        )
    return np.linalg.norm((predicted - target) * np.asarray(factors), axis=1)


def correct_points(
    errors: ArrayLike, *, length: float, alphas: Sequence[float], strict: bool = False
) -> NDArray[np.bool_]:
    """Tell which key points are correct.

    Args:
        errors: ``(K,)`` distances.
        length: Reference length in the same unit.
        alphas: ``A`` fractions of the length.
        strict: Whether an error of exactly the threshold is wrong (``<`` instead of ``<=``).

    Returns:
        ``(A, K)``. A NaN, so a point that was not transferred, is wrong.
    """
    compare = np.less if strict else np.less_equal
    thresholds = np.asarray(alphas, dtype=np.float64)[:, None] * length
    return compare(np.asarray(errors)[None], thresholds)


def pck(
    predicted: ArrayLike,
    target: ArrayLike,
    visible: ArrayLike,
    *,
    length: float,
    alpha: float,
    strict: bool = False,
) -> float:
    """Compute the PCK of one pair.

    Args:
        predicted: ``(K, 2)`` transferred key points in pixels.
        target: ``(K, 2)`` true ones.
        visible: ``(K,)`` boolean, those that count.
        length: Reference length in pixels.
        alpha: Fraction of it.
        strict: Whether an error of exactly the threshold is wrong.

    Returns:
        Fraction in [0, 1], NaN if no key point counts.

    Raises:
        ValueError: If the shapes do not fit.
    """
    errors = transfer_errors(predicted, target)
    visible = np.asarray(visible, dtype=bool)
    if visible.shape != errors.shape:
        raise ValueError(f"Expected `visible` of shape {errors.shape}, but got {visible.shape}.")
    hits = correct_points(errors[visible], length=length, alphas=[alpha], strict=strict)
    return float(hits.mean()) if hits.size else float("nan")
