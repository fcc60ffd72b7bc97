"""The stages ``demix`` to ``metrical_prep``, from the mix to activations, with madmom's ``RNNDownBeatProcessor``.

Eight bidirectional LSTM networks with spectrograms of three resolutions and their differences as input; Böck, Krebs
and Widmer, *Joint Beat and Downbeat Tracking with Recurrent Neural Networks*, ISMIR 2016. They were trained on
mixes and output the two columns that the metre decoder takes, so no separation is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.spectrogram import HOP_SAMPLES, frame_count
from allin1_core.contracts.stages import Setup, Task
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.errors import BackendError

from allin1_backend_madmom.probe import check_networks
from allin1_backend_madmom.provider import load


class MixToActivations(Protocol):
    """Computes the activations of a mix."""

    def __call__(self, mix: Mix, task: Task, /) -> Activations:
        """Run the networks on `mix`."""
        ...


def create(setup: Setup) -> MixToActivations:
    """Return the callable; `setup` is not used.

    Raises
    ------
    BackendError
        madmom is not installed, or its trained networks are missing.
    """
    verdict = check_networks()
    if isinstance(verdict, Unavailable):
        raise BackendError(verdict.reason, remedy=verdict.remedy)
    if not isinstance(verdict, Ready):
        raise BackendError(f"{verdict}.")
    with warnings.catch_warnings():
        # The pickled networks refer to numpy.core by its old name.
        warnings.simplefilter("ignore", DeprecationWarning)
        features, ensemble, select = load().module("features.downbeats").RNNDownBeatProcessor()
    networks, mean = ensemble
    return _run(features, list(networks), mean, select)


def _run(
    features: Callable[[Any], Any], networks: list[Any], mean: Callable[[Any], Any], select: Any
) -> MixToActivations:
    steps = 1 + len(networks)

    def activations(mix: Mix, task: Task, /) -> Activations:
        samples = mix.samples
        frames = frame_count(samples.shape[-1])
        if frames == 1:
            # madmom drops the time axis if there is only one frame; it would read silence next.
            padding = HOP_SAMPLES + 1 - samples.shape[-1]
            samples = np.pad(samples, ((0, 0), (0, padding)))
        # madmom mixes to mono; it treats floats within ±1 like the integers of a file.
        read = features(np.ascontiguousarray(samples.T))
        predictions: list[Any] = []
        for network in networks:
            task.progress((1 + len(predictions)) / steps)
            predictions.append(network(read))
        values = np.asarray(select(mean(predictions)), np.float32)[:frames]
        task.progress(1.0)
        return Activations(np.ascontiguousarray(values))

    return activations
