"""The stage ``spectrogram`` for models that take the mix: mid, side, percussive and harmonic part.

As in the reference, the filtered magnitudes are in double precision and rounded once; on devices without double precision
(MPS), they are in single precision. Signals, filters and the transform are those of the spectrogram of stems.
"""

from __future__ import annotations

from functools import partial

import torch
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    VIEWS,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import MixSpectrogram, Setup, Task
from allin1_core.reference.running_median import neighbours, running_median
from torch import Tensor

from allin1_backend_torch.running import Span, running, spans, thread_count
from allin1_backend_torch.spectrogram import (
    CPU_BLOCK,
    CPU_PARTS,
    GPU_PARTS,
    REPORT_BLOCKS,
    Filters,
    filtered,
    make_filters,
)
from allin1_backend_torch.waiting import Waiting

#: Number of frames of mid and side that a GPU transforms at once: a transform of 269 MB in double precision.
GPU_BLOCK = 8192

#: Number of frames whose medians are computed at once: on a CPU, they mostly fit into the second-level cache; on a GPU,
#: where each of 141 operations has a launch cost, as many as 0.4 GB allow.
CPU_MEDIANS, GPU_MEDIANS = 256, 20_000


def create(setup: Setup) -> MixSpectrogram:
    """Return the stage's callable."""
    device = torch.device(setup.device)
    threads = thread_count(device, setup.threads)
    on_cpu = device.type == "cpu"
    precision = torch.float32 if device.type == "mps" else torch.float64
    filters = make_filters(device, precision, CPU_PARTS if on_cpu else GPU_PARTS, precision)
    frames_at_once = CPU_BLOCK if on_cpu else GPU_BLOCK
    medians_at_once = CPU_MEDIANS if on_cpu else GPU_MEDIANS

    def mix_spectrogram(mix: Mix, task: Task, /) -> LogSpectrogram:
        samples = mix.samples
        total = frame_count(samples.shape[-1])
        frames = samples.new_empty(len(VIEWS), total, BANDS)
        blocks = spans(total, frames_at_once)
        with running(threads) as each:
            for done in range(0, len(blocks), REPORT_BLOCKS):
                task.progress(done / len(blocks))
                each(
                    partial(_filter, filters, samples, frames), blocks[done : done + REPORT_BLOCKS]
                )
            each(partial(_separate, frames), spans(total, medians_at_once))
            # Mid itself last: the medians need its magnitudes, also those of neighbouring blocks.
            each(partial(_take_logarithms, frames), blocks)
        task.progress(1.0)
        return LogSpectrogram(frames)

    return Waiting(mix_spectrogram, device)


def _filter(filters: Filters, samples: Tensor, out: Tensor, span: Span) -> None:
    """Fill some frames of the first two of ``[4, T, 81]`` with magnitudes of mid and side."""
    first, end = span
    signals = _mid_and_side(
        samples,
        first * HOP_SAMPLES - WINDOW_SAMPLES // 2,
        (end - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2,
        filters.window.dtype,
    )
    if signals.device.type != "cpu":
        out[:2, first:end] = filtered(filters, signals)
        return
    # One after the other, to stay in the cache; a silent signal, such as the side of a mono song, is skipped.
    for signal, view in zip(signals, out, strict=False):
        view[first:end] = filtered(filters, signal[None])[0] if signal.any() else 0


def _mid_and_side(samples: Tensor, start: int, stop: int, precision: torch.dtype) -> Tensor:
    """Half of sum and difference of the channels, ``[2, stop - start]``, with zeros outside the signal.

    Both are rounded to float32.
    """
    low, high = max(start, 0), min(stop, samples.shape[1])
    signals = torch.zeros(2, stop - start, dtype=precision, device=samples.device)
    left, right = samples[:, low:high]
    signals[0, low - start : high - start] = (left + right) * 0.5
    signals[1, low - start : high - start] = (left - right) * 0.5
    return signals


def _separate(frames: Tensor, span: Span) -> None:
    """Separate the magnitudes of mid into percussive and harmonic parts."""
    first, end = span
    mid, _, percussive, harmonic = frames
    near = torch.from_numpy(neighbours(first, end, len(mid))).to(frames.device)
    median = running_median(mid[near], torch.minimum, torch.maximum, torch.where)
    harmonic[first:end] = median
    torch.sub(mid[first:end], median, out=percussive[first:end])
    percussive[first:end].clamp_(min=0)


def _take_logarithms(frames: Tensor, span: Span) -> None:
    """``log10(1 + x)`` of some frames of everything, in place."""
    first, end = span
    frames[:, first:end].add_(1).log10_()
