"""Checks on arrays of any library, by shape, by name of dtype, and by value where that costs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from allin1_core.errors import ContractError

#: An array of NumPy, PyTorch, MLX …: whatever has ``shape`` and ``dtype``. Which one is said by its Space.
Array = Any

D = TypeVar("D")

#: By which a probability, or a sum of some, may be off 0 or 1: a backend may compute with half precision inside.
PROBABILITY_ROUNDING = 1e-3


def check_array(
    name: str,
    array: Array,
    shape: Sequence[int | None],
    dtypes: Sequence[str] = ("float32",),
    *,
    finite: bool = False,
) -> None:
    """Raise :class:`ContractError` unless `array` is of this shape and type.

    Parameters
    ----------
    name
        What the array is, for the message: ``"stems.samples"``.
    array
        An array of any library.
    shape
        Expected length of each axis; ``None`` accepts any length above 0.
    dtypes
        Accepted names of dtypes, without the library's prefix (``"float32"``, not ``torch.float32``).
    finite
        Also refuse NaN and infinities. Looked at only in NumPy arrays: on a device it would force a wait.
    """
    actual = getattr(array, "shape", None)
    if actual is None or getattr(array, "dtype", None) is None:
        raise ContractError(f"{name} is no array but {type(array).__name__}.")
    actual = tuple(int(n) for n in actual)
    fits = len(actual) == len(shape) and all(
        n > 0 if want is None else n == want for n, want in zip(actual, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ContractError(f"{name} has shape {list(actual)}; wanted [{wanted}].")
    dtype = str(array.dtype).rpartition(".")[2]
    if dtype not in dtypes:
        raise ContractError(f"{name} has dtype {dtype}; wanted {' or '.join(dtypes)}.")
    if finite and type(array).__module__ == "numpy":
        bad = first_not_finite(array)
        if bad is not None:
            raise ContractError(f"{name} holds {bad[1]} at index {list(bad[0])}.")


def check_probabilities(name: str, array: Array) -> None:
    """Raise :class:`ContractError` unless a NumPy array holds numbers from 0 to 1, up to :data:`PROBABILITY_ROUNDING`."""
    bad = first_not_finite(array)
    if bad is not None:
        raise ContractError(f"{name} holds {bad[1]} at index {list(bad[0])}.")
    if not array.size:
        return
    for value in (float(array.min()), float(array.max())):
        if not -PROBABILITY_ROUNDING <= value <= 1 + PROBABILITY_ROUNDING:
            raise ContractError(f"{name} holds {value:g}; wanted 0 to 1.")


def first_not_finite(array: Array) -> tuple[tuple[int, ...], str] | None:
    """Index and text of the first NaN or infinity of a NumPy array in C order, or None."""
    import numpy as np

    # A sum is finite unless a value is not (or it overflows, which the full look then clears up);
    # it needs no array of booleans as large as the data.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array)):
            return None
    finite = np.isfinite(array)
    if finite.all():
        return None
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
    return index, str(float(array[index]))


def move_arrays(data: D, convert: Callable[[Array], Array]) -> D:
    """The same record with every array passed through `convert`.

    A record names its array fields in ``ARRAYS``; those that are None stay None.

    >>> from allin1_core.contracts.logits import Activations
    >>> import numpy as np
    >>> move_arrays(Activations(np.zeros((3, 2))), lambda a: a.astype("float32")).values.dtype
    dtype('float32')
    """
    names: tuple[str, ...] = data.ARRAYS  # type: ignore[attr-defined]
    values = {name: getattr(data, name) for name in names}
    return dataclasses.replace(  # type: ignore[type-var]
        data, **{name: convert(value) for name, value in values.items() if value is not None}
    )


def length_of(data: object) -> int:
    """Samples or frames of a record, along its axis of time.

    >>> from allin1_core.contracts.logits import Activations
    >>> import numpy as np
    >>> length_of(Activations(np.zeros((3, 2))))
    3
    """
    axes: Mapping[str, int] = data.TIME_AXES  # type: ignore[attr-defined]
    name, axis = next(iter(axes.items()))
    return int(getattr(data, name).shape[axis])


def part_of(data: D, first: int, last: int) -> D:
    """The samples or frames from `first` up to `last` of a record whose arrays can be sliced; they are views.

    A record names the axis of time of each of its arrays in ``TIME_AXES``.

    >>> from allin1_core.contracts.logits import Activations
    >>> import numpy as np
    >>> part_of(Activations(np.zeros((3, 2))), 1, 3).values.shape
    (2, 2)
    """
    axes: Mapping[str, int] = data.TIME_AXES  # type: ignore[attr-defined]
    values = {name: getattr(data, name) for name in axes}
    return dataclasses.replace(  # type: ignore[type-var]
        data,
        **{
            name: value[(slice(None),) * axes[name] + (slice(first, last),)]
            for name, value in values.items()
            if value is not None
        },
    )
