"""The stage ``spectrogram``: equivalent to madmom 0.17.dev0, in MLX operations.

MLX has no FFT in double precision. In single precision, music is within 1e-6 of madmom, and signals like a full-scale chirp
within 2e-5. The window and the filters are those of the core.

Processes blocks of frames of all four stems: on a CPU, a block fits into the cache, on a GPU, it limits the memory. All
blocks have the same shape, so that compiled functions can be used for any song.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import numpy as np
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import Setup, Spectrogram, Task
from allin1_core.reference.filterbank import filterbank, window

from allin1_backend_mlx.computing import OnDevice, compiled, device_named

#: Number of frames in a block: a transform of 2 MB on a CPU, 134 MB on a GPU.
CPU_BLOCK, GPU_BLOCK = 64, 4096

#: Number of blocks between two reports of progress.
REPORT_BLOCKS = 16

#: First bands of the parts of the filterbank. Each part is a product with only the bins that its bands have weights for,
#: as MLX is slow at large products on a CPU, and most of the filterbank is zero.
PART_STARTS = (0, 18, 30, 42, 51, 60, 66, 72, 77)


@dataclass(frozen=True, eq=False)
class Filters:
    """The window, and the filterbank in parts.

    Attributes
    ----------
    window
        float32 ``[2048]``.
    parts
        Bins, and weights ``[bins, bands]``.
    """

    window: mx.array
    parts: tuple[tuple[slice, mx.array], ...]


def create(setup: Setup) -> Spectrogram:
    """Return the stage's callable."""
    on_gpu = device_named(setup.device) == mx.gpu
    with mx.stream(device_named(setup.device)):
        filters = make_filters()
    transform = BlockTransform(
        log_bands=compiled(partial(log_bands, filters), setup.device),
        block=GPU_BLOCK if on_gpu else CPU_BLOCK,
    )
    return OnDevice(transform, setup.device)


def make_filters() -> Filters:
    """Move window and filterbank to the default device."""
    weights = filterbank()
    parts = []
    for first, last in zip(PART_STARTS, (*PART_STARTS[1:], BANDS), strict=True):
        own = np.flatnonzero(weights[:, first:last].any(axis=1))
        bins = slice(int(own[0]), int(own[-1]) + 1)
        parts.append((bins, mx.array(weights[bins, first:last])))
    filters = Filters(mx.array(window().astype(np.float32)), tuple(parts))
    mx.eval(filters.window, [part for _, part in parts])
    return filters


@dataclass(frozen=True, eq=False)
class BlockTransform:
    """Transforms stems block by block.

    Attributes
    ----------
    log_bands
        :func:`log_bands` with its filters, compiled or not.
    block
        Number of frames in a block.
    """

    log_bands: Callable[[mx.array], mx.array]
    block: int

    def __call__(self, stems: Stems, task: Task, /) -> LogSpectrogram:
        """Transform `stems`."""
        samples = stems.samples
        total = frame_count(samples.shape[-1])
        parts = []
        for done, first in enumerate(range(0, total, self.block)):
            start = first * HOP_SAMPLES - WINDOW_SAMPLES // 2
            stop = start + (self.block - 1) * HOP_SAMPLES + WINDOW_SAMPLES
            bands = self.log_bands(stretch(samples, start, stop))
            parts.append(bands[:, : total - first])
            mx.eval(parts[-1])
            if done % REPORT_BLOCKS == 0:
                task.progress(first / total)
        task.progress(1.0)
        return LogSpectrogram(mx.concatenate(parts, axis=1))


def log_bands(filters: Filters, samples: mx.array) -> mx.array:
    """Convert a section of the stems, ``[4, channels, samples]``, to a block of frames, ``[4, n, 81]``."""
    # The mean of one or two channels; exact, as 0.5 is.
    mono = samples[:, 0] if samples.shape[1] == 1 else 0.5 * (samples[:, 0] + samples[:, 1])
    return mx.log10(filtered(filters, mono) + 1)


def filtered(filters: Filters, signals: mx.array) -> mx.array:
    """Filtered magnitudes, ``[signals, frames, 81]``, of the frames that begin in every hop of ``[signals, samples]``."""
    signal_count, length = signals.shape
    count = (length - WINDOW_SAMPLES) // HOP_SAMPLES + 1
    frames = mx.as_strided(signals, (signal_count, count, WINDOW_SAMPLES), (length, HOP_SAMPLES, 1))
    transform = mx.fft.rfft(frames * filters.window)
    squares = mx.square(mx.real(transform)) + mx.square(mx.imag(transform))
    magnitudes = mx.sqrt(squares)
    bands = [magnitudes[..., bins] @ weights for bins, weights in filters.parts]
    return mx.concatenate(bands, axis=-1)


def stretch(samples: mx.array, start: int, stop: int) -> mx.array:
    """Samples from `start` to before `stop`, with zeros outside the signal."""
    low, high = max(start, 0), min(stop, samples.shape[-1])
    around = [(0, 0)] * (samples.ndim - 1)
    return mx.pad(samples[..., low:high], [*around, (low - start, stop - high)])
