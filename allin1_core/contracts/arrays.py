"""Checks of arrays of any library: shape, name of the dtype, and values where that is cheap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from allin1_core.errors import ContractError

#: An array of NumPy, PyTorch, MLX …: any object with ``shape`` and ``dtype``. Its Space names the library.
Array = Any

D = TypeVar("D")

#: Tolerance for probabilities, and sums of them, outside 0 to 1: a backend may use half precision internally.
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
        Name of the array in messages: ``"stems.samples"``.
    array
        An array of any library.
    shape
        Expected length of each axis; ``None`` accepts any length above 0.
    dtypes
        Accepted names of dtypes, without the library's prefix (``"float32"``, not ``torch.float32``).
    finite
        Also reject NaN and infinities. Only NumPy arrays are checked: on a device, this would force a synchronisation.
    """
    actual = getattr(array, "shape", None)
    if actual is None or getattr(array, "dtype", None) is None:
        raise ContractError(f"{name} is not an array but {type(array).__name__}.")
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
    """Raise :class:`ContractError` unless a NumPy array holds numbers from 0 to 1, except for rounding."""
    bad = first_not_finite(array)
    if bad is not None:
        raise ContractError(f"{name} holds {bad[1]} at index {list(bad[0])}.")
    if not array.size:
        return
    for value in (float(array.min()), float(array.max())):
        if not -PROBABILITY_ROUNDING <= value <= 1 + PROBABILITY_ROUNDING:
            raise ContractError(f"{name} holds {value:g}; wanted 0 to 1.")


def first_not_finite(array: Array) -> tuple[tuple[int, ...], str] | None:
    """Index and text of the first NaN or infinity of a NumPy array in C order; None if there is none."""
    import numpy as np

    # The sum is finite unless a value is not, or it overflows, which the full check clarifies; unlike that check, it
    # needs no array of Booleans as large as the data.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array)):
            return None
    finite = np.isfinite(array)
    if finite.all():
        return None
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
    return index, str(float(array[index]))


def move_arrays(data: D, convert: Callable[[Array], Array]) -> D:
    """Return the same record with every array passed through `convert`.

    A record lists its array fields in ``ARRAYS``; those that are None remain None.

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
    """Number of samples or frames of a record along its time axis.

    >>> from allin1_core.contracts.logits import Activations
    >>> import numpy as np
    >>> length_of(Activations(np.zeros((3, 2))))
    3
    """
    axes: Mapping[str, int] = data.TIME_AXES  # type: ignore[attr-defined]
    name, axis = next(iter(axes.items()))
    return int(getattr(data, name).shape[axis])


def part_of(data: D, first: int, last: int) -> D:
    """Return the samples or frames from `first` up to `last` of a record whose arrays can be sliced, as views.

    A record states the time axis of each of its arrays in ``TIME_AXES``.

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
