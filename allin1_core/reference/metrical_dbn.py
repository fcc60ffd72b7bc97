"""The metre decoder in NumPy.

Returns exactly the beats and positions of madmom's ``DBNDownBeatTrackingProcessor`` (0.17.dev0, commit 27f032e),
several times faster, and with memory usage that hardly grows with the song.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.stages import MetricalDbn, Setup, Task
from allin1_core.reference.bar_pointer import (
    BarPointerModel,
    bar_pointer_model,
    beat_heights,
    frames_to_decode,
    log_densities,
    metre_on_path,
)
from allin1_core.reference.bar_pointer_viterbi import most_probable_path


def create(setup: Setup) -> MetricalDbn:
    """Return the stage's callable for the parameters ``setup.metre``.

    Raises
    ------
    ContractError
        A parameter is out of range.
    """
    parameters = setup.metre.validate()

    @lru_cache(maxsize=4)
    def model_at(frames_per_second: float) -> BarPointerModel:
        return bar_pointer_model(parameters, frames_per_second)

    def metrical_dbn(activations: Activations, task: Task, /) -> Metre:
        first, stop = frames_to_decode(activations.values, parameters.threshold)
        values = activations.values[first:stop]
        if not values.any():
            return Metre(np.empty(0), np.empty(0, np.int64), beat_confidences=np.empty(0))
        rate = activations.frames_per_second
        model = model_at(rate)
        densities = log_densities(values, parameters.observation_lambda)
        heights = beat_heights(values, parameters.correct)
        path = most_probable_path(model, densities, heights, task.progress)
        task.progress(1.0)
        return metre_on_path(values, model, path, parameters, first, rate)

    return metrical_dbn
