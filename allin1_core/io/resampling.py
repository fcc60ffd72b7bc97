"""Conversion of decoded audio to one or two channels at 44 100 Hz, with soxr (quality VHQ)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.io.decoding.reader import Block, Samples, frames_at_once

_SQRT_HALF = 0.5**0.5


def resampled(blocks: Iterable[Block], channels: Literal[1, 2]) -> Iterator[Samples]:
    """Yield the samples of `blocks` as ``[n, channels]`` at 44 100 Hz; no block is empty.

    If the rate or the number of channels changes, each part is resampled separately.
    """
    folded = (Block(_fold(samples, channels), rate) for samples, rate in blocks)
    for (rate, width), part in groupby(folded, lambda block: (block.rate, block.samples.shape[1])):
        samples = (block.samples for block in part)
        for out in samples if rate == SAMPLE_RATE else _converted(samples, rate, width):
            yield np.broadcast_to(out, (len(out), channels))


def _converted(blocks: Iterable[Samples], rate: int, width: int) -> Iterator[Samples]:
    import soxr

    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, width, dtype="float32", quality="VHQ")
    # The output of low rates is longer than the input.
    step = max(1, frames_at_once(width) * min(rate, SAMPLE_RATE) // SAMPLE_RATE)
    for block in blocks:
        for start in range(0, len(block), step):
            if len(out := resampler.resample_chunk(block[start : start + step])):
                yield out
    end = np.zeros((0, width), np.float32)
    if len(out := resampler.resample_chunk(end, last=True)):
        yield out


def _fold(block: Samples, channels: int) -> Samples:
    """``[n, any]`` to ``[n, 1]`` for mono files or if one channel is requested, otherwise to ``[n, 2]``."""
    count = block.shape[1]
    if count == 6:
        left, right, centre, _, left_surround, right_surround = block.T
        shared = _SQRT_HALF * centre
        block = np.stack(
            (
                left + shared + _SQRT_HALF * left_surround,
                right + shared + _SQRT_HALF * right_surround,
            ),
            axis=1,
        )
    elif count > 2:
        block = np.repeat(block.mean(axis=1, keepdims=True), 2, axis=1)
    if block.shape[1] > channels:
        block = block.mean(axis=1, keepdims=True)
    return block
