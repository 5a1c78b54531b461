r"""Percentage of correct key points (PCK): errors, reference lengths and averages.

A transferred key point is correct if its distance to the annotated one is at most :math:`\alpha L`,
with a reference length :math:`L` of the image or of the object. Published code resizes images
first. Distances and lengths scale alike and padding shifts both points alike, so only the aspect
ratio matters:

* ``isotropic``: kept. Distances are measured in the original image.
* ``square``: the image is squashed to a square, so both axes weigh differently: in an image of
  500 x 375 with the side of the square as length, :math:`\alpha = 0.1` accepts 50 pixels in x, but
  37.5 in y. With ``isotropic`` it accepts 50 in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Flags, Floats, Integers

RESIZES = ("isotropic", "square")
LENGTHS = ("img", "bbox", "keypoints")


def resize_factors(resize: str, size: tuple[float, float] | None) -> Floats:
    """Compute the factors by which a resize rule scales x and y.

    Args:
        resize: "isotropic" or "square". The long side is not scaled.
        size: width and height of the image in pixels, for "square".

    Returns:
        ``(2,)``.

    Raises:
        ValueError: if the size is needed, but None.
    """
    if resize == "isotropic":
        return np.ones(2)
    if size is None:
        raise ValueError("Expected `size` of the image for resize='square', but got None.")
    return max(size) / np.array(size, dtype=np.float64)


def reference_length(
    kind: str,
    *,
    size: tuple[float, float] | None = None,
    box: ArrayLike | None = None,
    points: ArrayLike | None = None,
    factors: ArrayLike = (1.0, 1.0),
) -> float:
    """Compute the reference length L of the thresholds.

    Args:
        kind: "img", the long side of the image; "bbox", the long side of the object's box; or
            "keypoints", the larger extent of the visible key points.
        size: width and height of the image in pixels, for "img".
        box: ``(x1, y1, x2, y2)`` in pixels, for "bbox".
        points: ``(K, 2)`` in pixels, for "keypoints".
        factors: ``(2,)`` of :func:`resize_factors`.

    Returns:
        The length in pixels of the resized image, whose long side is that of the original image.

    Raises:
        ValueError: if the argument that the kind needs is None.
    """
    measured = {"img": size, "bbox": box, "keypoints": points}[kind]
    if measured is None:
        raise ValueError(
            f"Expected the argument measured by length='{kind}', but got None. For data sets "
            "without boxes, such as PF-WILLOW or a csv of PF-PASCAL, set length='keypoints' or "
            "'img'."
        )
    if kind == "img":  # the square has the same long side
        return float(max(np.asarray(measured)))
    corners = np.asarray(measured, dtype=np.float64).reshape(-1, 2)  # a box is two points
    extent = np.ptp(corners, axis=0) if len(corners) else np.zeros(2)
    return float((extent * np.asarray(factors)).max())


def transfer_errors(
    predicted: ArrayLike, target: ArrayLike, *, factors: ArrayLike = (1.0, 1.0)
) -> Floats:
    """Compute the distances of transferred key points from the annotated ones.

    Args:
        predicted: ``(K, 2)`` in pixels.
        target: ``(K, 2)`` in pixels of the same image.
        factors: ``(2,)`` of :func:`resize_factors`.

    Returns:
        ``(K,)`` distances in pixels of the resized image, NaN where a point is NaN.

    Raises:
        ValueError: if the two do not have the same shape ``(K, 2)``.
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
) -> Flags:
    """Compare errors with thresholds.

    Args:
        errors: ``(K,)`` distances.
        length: reference length in the same unit.
        alphas: ``A`` fractions of the length.
        strict: whether an error equal to the threshold is wrong (``<`` instead of ``<=``).

    Returns:
        ``(A, K)`` boolean. NaN, a point that was not transferred, is wrong.
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
        target: ``(K, 2)`` annotated key points in pixels.
        visible: ``(K,)`` boolean, key points to evaluate.
        length: reference length in pixels.
        alpha: fraction of the length.
        strict: whether an error equal to the threshold is wrong.

    Returns:
        Fraction in [0, 1], NaN without visible key points.

    Raises:
        ValueError: if shapes disagree.
    """
    errors = transfer_errors(predicted, target)
    visible = np.asarray(visible, dtype=bool)
    if visible.shape != errors.shape:
        raise ValueError(f"Expected `visible` of shape {errors.shape}, but got {visible.shape}.")
    hits = correct_points(errors[visible], length=length, alphas=[alpha], strict=strict)
    return float(hits.mean()) if hits.size else float("nan")


def average_pck(average: str, *, correct: Integers, points: Integers, labels: Integers) -> Floats:
    """Average the PCK of pairs with at least one key point each.

    Args:
        average: key of :data:`AVERAGES`.
        correct: ``(M, A)`` number of correct points of each pair at each threshold.
        points: ``(M,)`` number of points of each pair, above 0.
        labels: ``(M,)`` class of each pair.

    Returns:
        ``(A,)`` fractions, NaN without pairs.
    """
    if not len(points):
        return np.full(correct.shape[1], np.nan)
    return AVERAGES[average](correct, points, labels)


def _over_pairs(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return (correct / points[:, None]).mean(axis=0)


def _over_points(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return correct.sum(axis=0) / points.sum()


def _over_classes(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return _class_fractions(correct, points, labels)[0].mean(axis=0)


def _over_classes_by_pairs(correct: Integers, points: Integers, labels: Integers) -> Floats:
    fractions, pairs = _class_fractions(correct, points, labels)
    return np.average(fractions, axis=0, weights=pairs)


def _class_fractions(
    correct: Integers, points: Integers, labels: Integers
) -> tuple[Floats, Integers]:
    """Compute the fraction of correct points and the number of pairs of each class."""
    members = labels == np.unique(labels)[:, None]  # (classes, M)
    return (members @ correct) / (members @ points)[:, None], members.sum(axis=1)


AVERAGES: dict[str, Callable[[Integers, Integers, Integers], Floats]] = {
    "pairs": _over_pairs,
    "points": _over_points,
    "classes": _over_classes,
    "classes_by_pairs": _over_classes_by_pairs,
}
"""Mean over pairs, over all key points, over classes (each the PCK of its points), or over classes
weighted by their number of pairs."""
