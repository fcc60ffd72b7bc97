"""The stage ``nn``: the network of Kim & Nam (WASPAA 2023), as allin1 1.1.0 runs it, compiled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._network import PASSES, SCRATCH_SIZE, Song, aligned_zeros
from allin1_backend_cython.network_parameters import pack
from allin1_backend_cython.running import instruction_set, thread_count
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.errors import WeightsError

#: Minimum number of frames per thread.
FRAMES_PER_THREAD = 256


def create(setup: Setup) -> Nn:
    """Prepare the networks of ``setup.model``.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    BackendError
        The environment variable names an instruction set that the processor does not support.
    """
    if setup.model is None or not setup.model.members:
        raise WeightsError("The network was given no parameters.", remedy="Choose a model.")
    return Ensemble(
        members=tuple(pack(parameters) for parameters in setup.model.members),
        instruction_set=instruction_set(),
        threads=thread_count(setup.threads),
    )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks whose logits are averaged.

    Attributes
    ----------
    members
        Parameters, from :func:`~allin1_backend_cython.network_parameters.pack`.
    instruction_set
        An instruction set that the processor supports.
    threads
        Maximum number of threads; it does not affect the result.
    """

    members: tuple[NDArray[np.float32], ...]
    instruction_set: str
    threads: int

    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run the members one after another."""
        frames = np.ascontiguousarray(spectrogram.frames, np.float32)
        count = len(self.members)
        song = Song(frames, count, task.embeddings, self.instruction_set)
        others = min(self.threads, -(-frames.shape[1] // FRAMES_PER_THREAD)) - 1
        scratch = [aligned_zeros(SCRATCH_SIZE) for _ in range(1 + others)]
        # This thread works, too. Exceptions of the progress callback are raised between two passes, when all threads are idle.
        with ThreadPoolExecutor(max(others, 1), "allin1-cython") as pool:
            for i, member in enumerate(self.members):
                song.begin(i)
                for number in range(PASSES):
                    song.begin_pass()
                    helping = [pool.submit(song.run, member, number, own) for own in scratch[1:]]
                    song.run(member, number, scratch[0])
                    for done in helping:
                        done.result()
                    task.progress((i * PASSES + number + 1) / (count * PASSES))
        logits = song.logits
        logits /= count
        embeddings = song.embeddings
        if embeddings is not None and count == 1:
            embeddings = embeddings[..., 0]
        return Logits(logits[0], logits[1], logits[2], logits[3:], embeddings)
