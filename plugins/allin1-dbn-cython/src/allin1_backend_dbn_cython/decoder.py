"""The stage ``metrical_dbn``: activations in, beats and their positions in the bar out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from allin1_backend_dbn_cython._kernel import instruction_sets
from allin1_backend_dbn_cython.tables import MetreTables, build
from allin1_backend_dbn_cython.viterbi import Path, Workspace, find_path, observed_series
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import Metre, MetreParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError
from allin1_core.reference.bar_pointer import BestPath, frames_to_decode, metre_on_path

#: Environment variable that names the instruction set to use, for tests and benchmarks.
ISA_VARIABLE = "ALLIN1_DBN_ISA"


def create(setup: Setup) -> Decoder:
    """Return the decoder for `setup`."""
    return Decoder(
        setup.metre,
        threads=setup.threads,
        instruction_set=os.environ.get(ISA_VARIABLE) or None,
    )


class Decoder:
    """Decodes songs, and reuses its memory between them.

    Safe to call from several threads.

    Parameters
    ----------
    parameters
        Metres, tempi, lambdas, threshold.
    threads
        Number of metres that are decoded in parallel; None for the number of processors.
    instruction_set
        ``avx512``, ``avx2``, ``sse2``, ``neon`` or ``scalar``; None for the fastest that the processor
        supports. The result is bit-identical for all.
    frames_per_segment
        Number of frames whose scores are kept at a time, rounded up to whole blocks; None for 8 MB.

    Raises
    ------
    allin1_core.errors.ContractError
        A parameter is out of range.
    allin1_core.errors.BackendError
        The processor does not support that instruction set.
    """

    def __init__(
        self,
        parameters: MetreParameters,
        *,
        threads: int | None = None,
        instruction_set: str | None = None,
        frames_per_segment: int | None = None,
    ) -> None:
        available = instruction_sets()
        if instruction_set is not None and instruction_set not in available:
            raise BackendError(
                f"This processor does not support the instruction set {instruction_set!r}.",
                remedy=f"Use one of {', '.join(available)}, or leave {ISA_VARIABLE} unset.",
            )
        self.parameters = parameters.validate()
        self.instruction_set = instruction_set or available[0]
        self._frames_per_segment = frames_per_segment
        threads = min(threads or os.cpu_count() or 1, len(parameters.beats_per_bar))
        self._pool = ThreadPoolExecutor(threads, "allin1-dbn") if threads > 1 else None
        # Shared between threads without a lock: append and pop of a list are atomic.
        self._idle: list[Workspace] = []

    def __call__(self, activations: Activations, task: Task, /) -> Metre:
        """Find the beats of a song."""
        rate = activations.frames_per_second
        first, stop = frames_to_decode(activations.values, self.parameters.threshold)
        values = activations.values[first:stop]
        if not values.any():
            return Metre(np.empty(0), np.empty(0, np.int64), beat_confidences=np.empty(0))
        model, metres = build(self.parameters, rate)
        # Metres differ in their bars, not in their intervals, so they need the same padding.
        series = observed_series(values, self.parameters, metres[0].padding)
        decode = partial(self._decode, series=series)
        paths: list[Path] = []
        for path in self._pool.map(decode, metres) if self._pool else map(decode, metres):
            paths.append(path)
            task.progress(len(paths) / len(metres))
        log_probabilities = tuple(path.log_probability for path in paths)
        chosen = int(np.argmax(log_probabilities))
        best = BestPath(chosen, log_probabilities, paths[chosen].lanes, paths[chosen].margins)
        return metre_on_path(values, model, best, self.parameters, first, rate)

    def close(self) -> None:
        """Stop the threads, and release the memory."""
        if self._pool is not None:
            self._pool.shutdown()
        self._idle.clear()

    def _decode(self, tables: MetreTables, series: NDArray[np.float64]) -> Path:
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = Workspace()
        frames = self._frames_per_segment
        if frames is not None:
            frames = -(-frames // tables.block) * tables.block
        path = find_path(tables, series, self.instruction_set, workspace, frames)
        self._idle.append(workspace)
        return path
