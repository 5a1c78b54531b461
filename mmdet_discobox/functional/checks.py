"""Shape checks for the public functions of this floor."""

from __future__ import annotations

from torch import Tensor


def check_shapes(**tensors: tuple[Tensor, str]) -> None:
    """Check the shapes of several tensors against patterns that share letters.

    Args:
        **tensors: argument name -> ``(tensor, pattern)``. A pattern lists the axes, for example
            ``'N H W'`` or ``'N 4'``: a letter takes the size it meets first, a number is itself.

    Raises:
        ValueError: if a tensor has another number of axes, or an axis another size.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, pattern) in tensors.items():
        axes = pattern.split()
        wanted = f"Expected `{name}` of shape ({', '.join(axes)})"
        if tensor.ndim != len(axes):
            raise ValueError(f"{wanted} but got {tuple(tensor.shape)}.")
        for axis, size in zip(axes, tensor.shape, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != expected:
                raise ValueError(
                    f"{wanted} with {axis} = {expected} but got {tuple(tensor.shape)}."
                )
