"""The decoder of madmom, if it is installed, to compare the metre decoders with."""

from __future__ import annotations

import collections
import collections.abc
import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters

#: Decodes activations to beats and positions, float64 ``[N, 2]``, or None if madmom finds no path and fails.
MadmomDecoder = Callable[[NDArray[Any], MetreParameters, float], "NDArray[np.float64] | None"]


@contextmanager
def as_madmom_expects() -> Iterator[None]:
    """Within the block, restore names that Python and NumPy have removed since madmom 0.16.1."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in collections.abc.__all__:
            if not hasattr(collections, name):
                patch.setattr(collections, name, getattr(collections.abc, name), raising=False)
        for kind in (bool, int, float, complex, object, str):
            if kind.__name__ not in vars(np):
                patch.setattr(np, kind.__name__, kind, raising=False)
        yield


def madmom_or_skip(module: str = "madmom") -> Any:
    """Import a module of madmom within :func:`as_madmom_expects`, or skip the test."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # such an old package may raise any error
        pytest.skip(f"compares with madmom, which cannot be imported: {error!r}")


def madmom_decoder() -> MadmomDecoder:
    """Return madmom's ``DBNDownBeatTrackingProcessor`` as a function, or skip the test."""
    with as_madmom_expects():
        downbeats = madmom_or_skip("madmom.features.downbeats")

    @lru_cache(maxsize=4)
    def processor(parameters: MetreParameters, frames_per_second: float) -> Any:
        arguments = parameters.madmom_arguments(frames_per_second)
        built = downbeats.DBNDownBeatTrackingProcessor(**arguments)
        built.map = _map_to_objects
        return built

    def decode(
        values: NDArray[Any], parameters: MetreParameters, frames_per_second: float
    ) -> NDArray[np.float64] | None:
        with as_madmom_expects():
            try:
                return np.asarray(processor(parameters, frames_per_second).process(values))
            except IndexError:
                # If no path is possible, madmom accesses the first state of an empty path.
                return None

    return decode


def _map_to_objects(
    function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[NDArray[np.object_]]:
    """Yield pairs as arrays of objects, from which NumPy builds the table that madmom expects."""
    for item in items:
        pair = np.empty(2, object)
        pair[:] = function(item)
        yield pair
