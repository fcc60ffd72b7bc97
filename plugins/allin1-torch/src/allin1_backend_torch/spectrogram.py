"""The stage ``spectrogram``: equivalent to madmom 0.17.dev0, in PyTorch operations.

In double precision, it is within 5e-7 of madmom for any signal. In single precision, it is as close for music, but differs
by up to 2e-5 for signals like a full-scale chirp. The window and the filters are those of the core.

Frames are processed in blocks. On a CPU, a block fits into the cache, and the time depends on the arithmetic. On a GPU,
where a block limits the memory, the time depends on memory traffic and the number of operations: so all stems are one
block, one operation computes the float32 magnitudes of the transform, and the filterbank is a single product, including
its zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import Setup, Spectrogram, Task
from allin1_core.reference.filterbank import filterbank, window
from torch import Tensor

from allin1_backend_torch.running import Span, running, spans, thread_count
from allin1_backend_torch.waiting import Waiting

#: Number of frames in a block: in double precision, a transform of 2 MB for a stem on a CPU, 269 MB for four on a GPU.
CPU_BLOCK, GPU_BLOCK = 128, 4096

#: Number of blocks between two reports of progress.
REPORT_BLOCKS = 64

#: First bands of the parts of the filterbank. Each part is a product with only the bins that its bands have weights for.
CPU_PARTS, GPU_PARTS = (0, 30, 48, 66), (0,)

#: Some stems, and some of their frames.
Block = tuple[slice, Span]


@dataclass(frozen=True, eq=False)
class Filters:
    """The window, and the filterbank in parts.

    Attributes
    ----------
    window
        ``[2048]``, in the precision of the transform.
    bins
        Bins with non-zero weights.
    parts
        Bins (relative to the first of `bins`), bands, and weights ``[bins, bands]``.
    """

    window: Tensor
    bins: slice
    parts: tuple[tuple[slice, slice, Tensor], ...]


def create(setup: Setup) -> Spectrogram:
    """Return the stage's callable in double precision, or in single precision on MPS, which has no double."""
    single = torch.device(setup.device).type == "mps"
    return _create(setup, torch.float32 if single else torch.float64)


def create_float32(setup: Setup) -> Spectrogram:
    """Return the stage's callable in single precision."""
    return _create(setup, torch.float32)


def _create(setup: Setup, precision: torch.dtype) -> Spectrogram:
    device = torch.device(setup.device)
    threads = thread_count(device, setup.threads)
    on_cpu = device.type == "cpu"
    frames_at_once = CPU_BLOCK if on_cpu else GPU_BLOCK
    stems_at_once = 1 if on_cpu else len(STEMS)
    filters = make_filters(device, precision, CPU_PARTS if on_cpu else GPU_PARTS)

    def spectrogram(stems: Stems, task: Task, /) -> LogSpectrogram:
        samples = stems.samples
        total = frame_count(samples.shape[-1])
        frames = samples.new_empty(len(STEMS), total, BANDS)
        blocks = [
            (slice(stem, stem + stems_at_once), span)
            for stem in range(0, len(STEMS), stems_at_once)
            for span in spans(total, frames_at_once)
        ]
        with running(threads) as each:
            for done in range(0, len(blocks), REPORT_BLOCKS):
                task.progress(done / len(blocks))
                each(
                    partial(_log_bands, filters, samples, frames),
                    blocks[done : done + REPORT_BLOCKS],
                )
        task.progress(1.0)
        return LogSpectrogram(frames)

    return Waiting(spectrogram, device)


def make_filters(
    device: torch.device,
    precision: torch.dtype,
    part_starts: tuple[int, ...],
    magnitudes: torch.dtype = torch.float32,
) -> Filters:
    """Move window and filterbank to a device.

    Parameters
    ----------
    device
        Device of the tensors.
    precision, magnitudes
        Types of the transform, and of its magnitudes and their sums.
    part_starts
        First band of each part of the filterbank.
    """
    weights = filterbank()
    used = np.flatnonzero(weights.any(axis=1))
    low = int(used[0])
    parts = []
    for first, last in zip(part_starts, (*part_starts[1:], BANDS), strict=True):
        own = np.flatnonzero(weights[:, first:last].any(axis=1))
        start, stop = int(own[0]), int(own[-1]) + 1
        part = torch.from_numpy(np.ascontiguousarray(weights[start:stop, first:last]))
        part = part.to(magnitudes).to(device)
        parts.append((slice(start - low, stop - low), slice(first, last), part))
    return Filters(
        window=torch.from_numpy(window()).to(precision).to(device),
        bins=slice(low, int(used[-1]) + 1),
        parts=tuple(parts),
    )


def _log_bands(filters: Filters, samples: Tensor, out: Tensor, block: Block) -> None:
    """Fill a block of frames of some stems of `out`, ``[4, T, 81]``."""
    stems, (first, end) = block
    signals = _mono(
        samples[stems],
        first * HOP_SAMPLES - WINDOW_SAMPLES // 2,
        (end - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2,
        filters.window.dtype,
    )
    torch.log10(filtered(filters, signals).add_(1), out=out[stems, first:end])


def filtered(filters: Filters, signals: Tensor) -> Tensor:
    """Filtered magnitudes, ``[signals, frames, 81]``, of the frames that begin in every hop of ``[signals, samples]``."""
    count, length = signals.shape
    frames = (length - WINDOW_SAMPLES) // HOP_SAMPLES + 1
    overlapping = signals.as_strided((count, frames, WINDOW_SAMPLES), (length, HOP_SAMPLES, 1))
    transform = torch.fft.rfft(overlapping * filters.window)
    magnitudes = _magnitudes(transform[..., filters.bins], filters.parts[0][2].dtype)
    bands = magnitudes.new_empty(count, frames, BANDS)
    for bins, own, weights in filters.parts:
        bands[..., own] = magnitudes[..., bins] @ weights
    return bands


def _magnitudes(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Absolute values of complex ones."""
    parts = torch.view_as_real(values)
    if values.is_cuda:
        result = torch.empty(values.shape, dtype=dtype, device=values.device)
        return torch.hypot(parts[..., 0], parts[..., 1], out=result)
    # On a CPU, the root of a sum of squares takes a third of the time of a complex absolute value.
    squares = parts.square()
    return (squares[..., 0] + squares[..., 1]).to(dtype).sqrt_()


def _mono(channels: Tensor, start: int, stop: int, precision: torch.dtype) -> Tensor:
    """Mean of the channels from sample `start` to before `stop`, with zeros outside the signal.

    ``[stems, channels, samples]`` to ``[stems, stop - start]``. The mean is rounded to float32, as madmom's is.
    """
    low, high = max(start, 0), min(stop, channels.shape[2])
    mono = torch.zeros(len(channels), stop - start, dtype=precision, device=channels.device)
    mono[:, low - start : high - start] = channels[:, :, low:high].mean(1)
    return mono
