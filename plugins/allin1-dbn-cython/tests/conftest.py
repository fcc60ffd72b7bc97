"""The golden outputs and the real madmom, where it is installed."""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters

pytest_plugins = ["allin1_core.testing.golden"]

Oracle = Callable[[NDArray[Any], MetreParameters, float], NDArray[np.float64]]


@contextlib.contextmanager
def _as_madmom_expects() -> Iterator[None]:
    """For as long as madmom 0.16.1 is imported or runs: names that Python and NumPy have since removed."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in collections.abc.__all__:
            patch.setattr(collections, name, getattr(collections.abc, name), raising=False)
        for kind in (bool, int, float, complex, object, str):
            if kind.__name__ not in vars(np):
                patch.setattr(np, kind.__name__, kind, raising=False)
        yield


@pytest.fixture(scope="session")
def madmom() -> Oracle:
    """Decode with madmom's own ``DBNDownBeatTrackingProcessor``: float64 ``[N, 2]``, times and positions."""
    with _as_madmom_expects():
        try:
            downbeats = importlib.import_module("madmom.features.downbeats")
        except Exception as error:  # As old as it is, it may fail in any way.
            pytest.skip(f"compares with madmom, which cannot be imported: {error!r}")

        @lru_cache(maxsize=4)
        def processor(parameters: MetreParameters, rate: float) -> Any:
            built = downbeats.DBNDownBeatTrackingProcessor(
                beats_per_bar=list(parameters.beats_per_bar),
                min_bpm=parameters.min_bpm,
                max_bpm=parameters.max_bpm,
                num_tempi=parameters.num_tempi,
                transition_lambda=parameters.transition_lambda,
                observation_lambda=parameters.observation_lambda,
                threshold=parameters.threshold,
                correct=parameters.correct,
                fps=rate,
            )
            built.map = _map_to_objects
            return built

    def decode(
        values: NDArray[Any], parameters: MetreParameters, rate: float
    ) -> NDArray[np.float64]:
        with _as_madmom_expects():
            try:
                return np.asarray(processor(parameters, rate).process(values))
            except IndexError:
                # It looks at the first state of a path that is empty, when no path is possible.
                return np.empty((0, 2))

    return decode


def _map_to_objects(function: Callable[[Any], Any], items: Any) -> list[NDArray[Any]]:
    """Pairs as arrays of objects, from which NumPy builds the table that madmom then takes a column of."""
    pairs = []
    for item in items:
        pair = np.empty(2, object)
        pair[:] = function(item)
        pairs.append(pair)
    return pairs
