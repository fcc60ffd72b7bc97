"""Comparison of a backend with the reference on one input, for calibration and for the guard of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from allin1_core.contracts.arrays import length_of, part_of
from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import Takes
from allin1_core.contracts.space import HOST
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.contracts.stages import Setup, Stage, Task, covers_both
from allin1_core.errors import brief
from allin1_core.plugins.collecting import Offers
from allin1_core.runtime.difference import measure
from allin1_core.runtime.moving import bring_home, copied, cross, read_only
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import load_target


def has_reference(offers: Offers, stages: Sequence[Stage]) -> bool:
    """Whether the core has a reference for `stages`; there is none for separation and for both branches in one call."""
    return not covers_both(stages) and all(
        _reference_of(offers, stage) is not None for stage in stages
    )


class ReferenceFailedError(Exception):
    """The reference raised an exception, so the backend could not be compared with it."""


def run_reference(
    offers: Offers, stages: Sequence[Stage], setup: Setup, data: Any, task: Task | None = None
) -> Any:
    """Run the reference of consecutive `stages` on NumPy arrays.

    Raises
    ------
    ReferenceFailedError
        The reference raised an exception.
    """
    for stage in stages:
        backend = _reference_of(offers, stage, "mix" if isinstance(data, Mix) else "stems")
        assert backend is not None, f"there is no reference of {stage}"
        try:
            data = load_target(backend.target)(setup)(read_only(data), task or Task())
        except Exception as error:
            raise ReferenceFailedError(f"the reference of {stage} raised {brief(error)}") from error
    return data


def run_alone(
    backend: Backend[Any], call: Any, network: BridgeNetwork, device: str, data: Any
) -> Any:
    """Run a backend on a copy of a record in NumPy arrays, and return its output in NumPy arrays.

    Raises
    ------
    BackendError
        No bridge leads to the backend or back, or one fails.
    """
    moved = cross(copied(data), network.way(HOST, backend.consumes), device)
    output = call(read_only(moved), Task())
    return bring_home(output, backend.produces, network)


def difference_from_reference(
    offers: Offers, backend: Backend[Any], setup: Setup, data: Any, output: Any
) -> float:
    """Return how far `output`, in NumPy arrays, is from the output of the reference for `data`.

    Raises
    ------
    ReferenceFailedError
        The reference raised an exception.
    """
    return measure(run_reference(offers, backend.stages, setup, data), output)


def cut(data: Any, seconds: float) -> Any:
    """Return the middle `seconds` of a record in NumPy arrays, or all of it if it is shorter."""
    per_second = SAMPLE_RATE if isinstance(data, (Mix, Stems)) else FRAMES_PER_SECOND
    length = length_of(data)
    count = min(length, round(seconds * per_second))
    start = (length - count) // 2
    if isinstance(data, Logits):
        data = replace(data, embeddings=None)
    return part_of(data, start, start + count)


def _reference_of(offers: Offers, stage: Stage, takes: Takes = "stems") -> Backend[Any] | None:
    for offered in offers.covering(stage):
        backend = offered.item
        if (offered.plugin.name, backend.stages, backend.takes) == ("reference", (stage,), takes):
            return backend
    return None
