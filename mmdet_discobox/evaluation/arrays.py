"""Array types of the metrics, and conversion of samples to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def to_array(values: Any, dtype: Any = np.float64) -> Any:
    """Convert a tensor of any device, an array or a list to an array.

    Args:
        values: values of a sample.
        dtype: data type of the array.

    Returns:
        The array.
    """
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype)
