"""The stage ``spectrogram`` for models that take the mix: mid, side, percussive and harmonic part.

In single precision, with the filters and the transform of the spectrogram of stems. The percussive part is a difference of
magnitudes: the rounding error of a loud one is large relative to a small difference, so it is within 1e-4 of the
reference, while the other views are within 2e-5.

Processes blocks of frames of the same shape, so that compiled functions can be used for any song.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import (
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import MixSpectrogram, Setup, Task
from allin1_core.reference.running_median import neighbours, running_median

from allin1_backend_mlx.computing import OnDevice, compiled, device_named
from allin1_backend_mlx.spectrogram import (
    Filters,
    filtered,
    make_filters,
    stretch,
)

#: Number of frames of mid and side in a block: a transform of 2 MB on a CPU, 134 MB on a GPU.
CPU_BLOCK, GPU_BLOCK = 128, 8192

#: Number of blocks between two reports of progress.
REPORT_BLOCKS = 8


def create(setup: Setup) -> MixSpectrogram:
    """Return the stage's callable."""
    on_gpu = device_named(setup.device) == mx.gpu
    with mx.stream(device_named(setup.device)):
        filters = make_filters()
    views = Views(
        filtered=compiled(partial(mid_and_side, filters), setup.device),
        parts=compiled(percussive_and_harmonic, setup.device),
        block=GPU_BLOCK if on_gpu else CPU_BLOCK,
    )
    return OnDevice(views, setup.device)


@dataclass(frozen=True, eq=False)
class Views:
    """Transforms a mix block by block.

    Attributes
    ----------
    filtered
        :func:`mid_and_side` with its filters, compiled or not.
    parts
        :func:`percussive_and_harmonic`, compiled or not.
    block
        Number of frames in a block.
    """

    filtered: Callable[[mx.array], mx.array]
    parts: Callable[[mx.array], mx.array]
    block: int

    def __call__(self, mix: Mix, task: Task, /) -> LogSpectrogram:
        """Transform `mix`."""
        total = frame_count(mix.samples.shape[-1])
        firsts = range(0, total, self.block)
        blocks = []
        for done, first in enumerate(firsts):
            start = first * HOP_SAMPLES - WINDOW_SAMPLES // 2
            stop = start + (self.block - 1) * HOP_SAMPLES + WINDOW_SAMPLES
            blocks.append(self.filtered(stretch(mix.samples, start, stop))[:, : total - first])
            mx.eval(blocks[-1])
            if done % REPORT_BLOCKS == 0:
                task.progress(first / total)
        magnitudes = mx.concatenate(blocks, axis=1)
        blocks.clear()
        for first in firsts:
            near = mx.array(neighbours(first, first + self.block, total))
            blocks.append(self.parts(magnitudes[0][near])[:, : total - first])
            mx.eval(blocks[-1])
        frames = mx.concatenate([mx.log10(magnitudes + 1), mx.concatenate(blocks, axis=1)])
        task.progress(1.0)
        return LogSpectrogram(frames)


def mid_and_side(filters: Filters, samples: mx.array) -> mx.array:
    """Filtered magnitudes, ``[2, n, 81]``, of half of sum and difference of the channels of ``[2, samples]``."""
    left, right = samples[0], samples[1]
    return filtered(filters, 0.5 * mx.stack([left + right, left - right]))


def percussive_and_harmonic(mid: mx.array) -> mx.array:
    """Turn magnitudes and their neighbours, ``[n + 30, 81]``, into log-magnitudes of both parts, ``[2, n, 81]``."""
    harmonic = running_median(mid, mx.minimum, mx.maximum, mx.where)
    reach = (mid.shape[0] - harmonic.shape[0]) // 2
    percussive = mx.maximum(mid[reach:-reach] - harmonic, 0)
    return mx.log10(mx.stack([percussive, harmonic]) + 1)
