"""Random parameters from a seed: the untrained network, for tests and timing without trained weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.metre import DEFAULT_THRESHOLD
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.reference.network_parameters import parameter_shapes


def random_parameters(seed: int, scale: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """Generate parameters of the All-In-One network with the right names and shapes.

    All of them have an effect: they are about as large as trained ones, so that attention is neither uniform nor
    concentrated on one key, and the gains of the LayerNorms differ from 1 and from each other.

    Parameters
    ----------
    seed
        Seed; the same seed results in the same parameters.
    scale
        Factor for everything except the gains. Larger values make attention sharper.
    """
    rng = np.random.default_rng(seed)
    return {
        name: _draw(rng, name, shape, scale).astype(np.float32)
        for name, shape in parameter_shapes().items()
    }


def random_model(seed: int, members: int = 1) -> Model:
    """Create a model of `members` sets of :func:`random_parameters`, each with its own seed."""
    card = ModelCard(
        name=f"random-{seed}",
        summary="Untrained parameters, for tests and timing",
        files=(),
        downbeat_threshold=DEFAULT_THRESHOLD,
        licence="MIT",
        source="allin1_core.measuring.random_weights",
    )
    seeds = np.random.SeedSequence(seed).generate_state(members)
    return Model(card, tuple(random_parameters(int(each)) for each in seeds))


def _draw(
    rng: np.random.Generator, name: str, shape: tuple[int, ...], scale: float
) -> NDArray[np.float64]:
    values: NDArray[np.float64] = rng.standard_normal(shape)
    kind = name.rpartition(".")[2]
    if kind == "rpb":
        return scale * values
    if kind == "bias":
        return 0.4 * scale * values
    if len(shape) == 1:  # a LayerNorm's gain
        gains: NDArray[np.float64] = np.exp(0.3 * values)
        return gains
    # Trained weights are about as large. Queries and keys are smaller, or attention would select a single key.
    size = 1.5 if ".query." in name or ".key." in name else 3.0
    return size * scale / math.sqrt(math.prod(shape[1:])) * values
