"""numpy's arrays, and mmengine's buffers of them, checked before a checkpoint builds them.

numpy believes a pickle: the fields and offsets in the state of a dtype, the strides and the buffer
given to ``ndarray``, a dtype of Python objects, or an object that claims to be an array point to
memory that is not the array's. Here only what numpy itself writes for numbers is built: a type of
numbers and their bytes.
"""

from __future__ import annotations

import math
from pickle import UnpicklingError
from typing import Any, NoReturn

import numpy as np
from mmengine.logging import HistoryBuffer

#: types of the numbers in mmengine's checkpoints, as numpy writes them
NUMBERS = ("f8", "f4", "i8", "i4")


class CheckedDtype:
    """The dtype of an array or scalar of numbers, in the place of ``numpy.dtype``.

    Args:
        *arguments: the type of the numbers, and two flags of numpy.

    Raises:
        UnpicklingError: for other types.
    """

    def __init__(self, *arguments: object) -> None:
        name = arguments[0] if arguments else None
        if not isinstance(name, str) or name not in NUMBERS:
            _refuse(f"the dtype {name!r}")
        self.value = np.dtype(name)

    def __setstate__(self, state: object) -> None:
        """Take the byte order; anything else, such as fields with offsets, is refused."""
        match state:
            case (3 | 4, "<" | ">" | "=" as order, None, None, None, *rest) if all(
                isinstance(value, int) for value in rest
            ):
                self.value = self.value.newbyteorder(order)
            case _:
                _refuse(f"a dtype with the state {state!r}")


class CheckedArray(np.ndarray):
    """An array of numbers, in the place of ``numpy.ndarray``; it is pickled as one of those."""

    def __new__(cls, *arguments: object) -> NoReturn:
        """Refuse buffers, offsets and strides; numpy's own pickles do not come here."""
        _refuse(f"`numpy.ndarray{arguments!r}`")

    def __setstate__(self, state: Any) -> None:
        """Check that the bytes are those of a plain array, and take them."""
        match state:
            case (1, tuple() as shape, dtype, bool() as fortran, bytes() as data):
                plain = _plain(dtype)
                if plain is not None and _count(shape) * plain.itemsize == len(data):
                    state = (1, shape, plain, fortran, data)
                    super().__setstate__(state)
                    return
        _refuse("an array whose bytes do not fit its shape and dtype")

    def __array_wrap__(self, array: Any, *_: Any) -> Any:
        """Return plain arrays and scalars from computations."""
        return np.asarray(array)[()]

    def __reduce__(self) -> Any:
        return np.array(self).__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return np.array(self).__reduce_ex__(protocol)


class CheckedHistory(HistoryBuffer):
    """A buffer of logged numbers, in the place of ``HistoryBuffer``; it is pickled as one."""

    def __init__(self, *arguments: object) -> None:
        """Refuse arguments, of which a buffer makes arrays."""
        if arguments:
            _refuse(f"`HistoryBuffer{arguments!r}`")
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Take arrays of numbers; the statistics are those of this mmengine."""
        match state:
            case {
                "max_length": int() as max_length,
                "_log_history": np.ndarray() as log,
                "_count_history": np.ndarray() as counts,
                **rest,
            } if rest.keys() <= {"statistics_methods"} and {log.dtype.kind, counts.dtype.kind} <= {
                *"fi"
            }:
                history = dict(_log_history=np.array(log), _count_history=np.array(counts))
                super().__setstate__(dict(max_length=max_length, **history))
            case _:
                _refuse("a `HistoryBuffer` with another state")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return HistoryBuffer, (), self.__getstate__()


def reconstruct_array(*arguments: object) -> np.ndarray:
    """Create the empty array that its state fills, in the place of numpy's ``_reconstruct``.

    Raises:
        UnpicklingError: for arguments that numpy does not write.
    """
    kind, *rest = arguments or (None,)
    if kind not in (CheckedArray, np.ndarray) or rest not in ([(0,), b"b"], [(0,), "b"]):
        _refuse(f"`_reconstruct{arguments!r}`")
    array_class: Any = CheckedArray
    empty: np.ndarray = np.ndarray.__new__(array_class, 0)
    return empty


def checked_scalar(*arguments: object) -> np.generic:
    """Create a number from its bytes, in the place of numpy's ``scalar``.

    Raises:
        UnpicklingError: if these are not the bytes of one number.
    """
    plain = _plain(arguments[0]) if len(arguments) == 2 else None
    data = arguments[-1]
    if plain is None or not isinstance(data, bytes) or len(data) != plain.itemsize:
        _refuse(f"`scalar{arguments!r}`")
    number: np.generic = np.frombuffer(data, plain)[0]
    return number


def _plain(dtype: object) -> np.dtype | None:
    """Return the dtype of numbers; another allow-list beside this one may give numpy's own."""
    if isinstance(dtype, CheckedDtype):
        return dtype.value
    if isinstance(dtype, np.dtype) and dtype.fields is None and dtype.str[1:] in NUMBERS:
        return np.dtype(dtype.str)
    return None


def _count(shape: tuple[object, ...]) -> int:
    """Count the elements of a shape, -1 if it is none."""
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    return math.prod(sizes) if len(sizes) == len(shape) <= 32 else -1


def _refuse(what: str) -> NoReturn:
    raise UnpicklingError(
        f"Expected the checkpoint to have arrays of numbers ({', '.join(NUMBERS)}) as numpy and "
        f"mmengine write them, but got {what}. mmengine does not write such checkpoints: download "
        "the file from a trusted source."
    )
