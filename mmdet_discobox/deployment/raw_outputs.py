"""Names for the raw outputs of a network, which are nested tuples and lists of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

_T = TypeVar("_T")
#: name of an output that is a single tensor
SINGLE = "outputs"


def flatten_outputs(outputs: Any, name: str = "") -> dict[str, Tensor]:
    """Name every tensor by its path, for example ``cls_logits.0``.

    Args:
        outputs: a tensor, or nested named tuples, tuples and lists of tensors.
        name: path of the outputs.

    Raises:
        TypeError: if there is anything else.
    """
    if isinstance(outputs, Tensor):
        return {name or SINGLE: outputs}
    if not isinstance(outputs, (tuple, list)):
        raise TypeError(
            f"Expected raw outputs of tensors in named tuples, tuples and lists but got "
            f"{type(outputs).__name__} at '{name}'."
        )
    fields = getattr(outputs, "_fields", map(str, range(len(outputs))))
    named = zip(fields, outputs, strict=True)
    parts = [flatten_outputs(item, f"{name}.{field}".lstrip(".")) for field, item in named]
    return {path: tensor for part in parts for path, tensor in part.items()}


def unflatten_outputs(tensors: Mapping[str, _T]) -> Any:
    """Build the nested outputs from their paths, the inverse of :func:`flatten_outputs`.

    Args:
        tensors: tensors by their paths, in the order of the outputs.

    Returns:
        Outputs with the fields and the order of the network's, in other classes.
    """
    if list(tensors) == [SINGLE]:
        return tensors[SINGLE]
    groups: dict[str, dict[str, _T]] = {}
    for path, tensor in tensors.items():
        field, _, rest = path.partition(".")
        groups.setdefault(field, {})[rest] = tensor
    items = {
        field: group[""] if "" in group else unflatten_outputs(group)
        for field, group in groups.items()
    }
    if all(field.isdecimal() for field in items):
        return list(items.values())
    make: Any = NamedTuple("RawOutputs", [(field, Any) for field in items])  # type: ignore[misc]
    return make(**items)
