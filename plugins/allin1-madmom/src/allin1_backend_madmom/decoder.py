"""The stage ``metrical_dbn``, with madmom's ``DBNDownBeatTrackingProcessor``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.stages import MetricalDbn, Setup, Task
from allin1_core.reference.bar_pointer import NO_PATH
from numpy.typing import NDArray

from allin1_backend_madmom.provider import load


def create(setup: Setup) -> MetricalDbn:
    """Return the stage's callable for the parameters ``setup.metre``.

    Raises
    ------
    ContractError
        A parameter is out of range.
    BackendError
        madmom is not installed.
    """
    parameters = setup.metre.validate()
    tracker = load().module("features.downbeats").DBNDownBeatTrackingProcessor

    @lru_cache(maxsize=4)
    def tracker_at(frames_per_second: float) -> Any:
        return tracker(**parameters.madmom_arguments(frames_per_second))

    def metrical_dbn(activations: Activations, task: Task, /) -> Metre:
        processor = tracker_at(activations.frames_per_second)
        models, scores = processor.hmms, []

        def note(log_probability: float) -> None:
            scores.append(log_probability)
            task.progress(len(scores) / len(models))

        processor.hmms = [_Listener(model, note) for model in models]
        try:
            beats = _process(processor, activations.values, scores)
        finally:
            processor.hmms = models
        return _metre(beats, parameters.beats_per_bar, scores)

    return metrical_dbn


class _Listener:
    """A wrapper of one of madmom's hidden Markov models that also reports the probability of the path."""

    def __init__(self, model: Any, note: Callable[[float], None]) -> None:
        self._model = model
        self._note = note
        self.transition_model = model.transition_model
        self.observation_model = model.observation_model

    def viterbi(self, observations: NDArray[Any]) -> NDArray[Any]:
        path, log_probability = self._model.viterbi(observations)
        self._note(float(log_probability))
        # madmom 0.16.1 builds a table of these pairs. NumPy refuses this for pairs whose first item is an array,
        # unless the pair is an array of objects.
        pair = np.empty(2, object)
        pair[0], pair[1] = path, log_probability
        return pair


def _process(processor: Any, values: NDArray[Any], scores: list[float]) -> NDArray[np.float64]:
    """Decode with madmom; returns times and positions, float64 ``[N, 2]``."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # It warns if no path is possible, which is visible in the result.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return np.asarray(processor.process(np.ascontiguousarray(values)), np.float64)
        except IndexError:
            # madmom 0.16.1 accesses the first state of the path even if the path is empty.
            if scores and not math.isfinite(max(scores)):
                return np.empty((0, 2))
            raise


def _metre(
    beats: NDArray[np.float64], beats_per_bar: tuple[int, ...], scores: list[float]
) -> Metre:
    times, positions = beats[:, 0].copy(), beats[:, 1].astype(np.int64)
    if not scores:
        return Metre(times, positions)
    log_probabilities = tuple(zip(beats_per_bar, scores, strict=True))
    best, *others = sorted(scores, reverse=True)
    if not math.isfinite(best):
        return Metre(times, positions, (NO_PATH,), metre_log_probabilities=log_probabilities)
    return Metre(
        times,
        positions,
        metre_log_probabilities=log_probabilities,
        metre_confidence=-math.expm1(others[0] - best) if others else None,
    )
