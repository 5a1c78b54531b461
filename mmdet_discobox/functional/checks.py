"""Checks of the arguments of public functions and constructors."""

from __future__ import annotations

from torch import Tensor


def check_shapes(**tensors: tuple[Tensor, str]) -> None:
    """Check the shapes of tensors against patterns with shared axis names.

    Args:
        **tensors: argument name -> ``(tensor, pattern)``. A pattern lists the axes, for example
            ``'N H W'`` or ``'N 4'``. An axis name must have the same size in all tensors.

    Raises:
        ValueError: if the number of axes or the size of an axis differs from the pattern.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, pattern) in tensors.items():
        axes = pattern.split()
        expected_shape = f"Expected `{name}` of shape ({', '.join(axes)})"
        if tensor.ndim != len(axes):
            raise ValueError(f"{expected_shape} but got {tuple(tensor.shape)}.")
        for axis, size in zip(axes, tensor.shape, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != expected:
                raise ValueError(
                    f"{expected_shape} with {axis} = {expected} but got {tuple(tensor.shape)}."
                )


def check_ranges(**values: tuple[float | None, str]) -> None:
    """Check numbers against intervals.

    Args:
        **values: argument name -> ``(value, interval)``. The interval is written with a square
            bracket at a bound that belongs to it, for example ``'(0, 1]'`` or ``'[0, inf)'``. None,
            which disables a part, is in every interval.

    Raises:
        ValueError: if a number is outside its interval or NaN.
        TypeError: for anything else, such as text.
    """
    for name, (value, interval) in values.items():
        low, high = (float(bound) for bound in interval[1:-1].split(","))
        if value is None:
            continue
        if not hasattr(value, "__float__"):
            raise TypeError(f"Expected `{name}` to be a number in {interval} but got {value!r}.")
        above = low <= value if interval[0] == "[" else low < value
        below = value <= high if interval[-1] == "]" else value < high
        if not (above and below):
            raise ValueError(f"Expected `{name}` to be in {interval} but got {value}.")
