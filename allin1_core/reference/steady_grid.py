"""Correction of beats that are half a beat off the rest of the song, if its tempo is steady.

A network that hears only a pad on the off-beat mistakes it for the beat, until the drums return. In a song with a
steady tempo, such a passage is easy to recognise: counted in half beats, all beats of the song lie on one line, and
those of the passage have odd numbers. A decoder cannot recognise it, because it only knows tempo and phase of the
previous beat: in a quiet passage, drifting by half a beat costs it little.

The activations are therefore corrected and decoded again: what lies on the line is kept, the rest is damped, and where
the line has a beat that is not heard, one is filled in. Positions in the bar, confidences and everything else are then
computed by the decoder as usual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.logits import Activations

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Minimum activation of a beat or downbeat, and minimum number of them, for fitting a line.
LEAST_HEIGHT, LEAST_COUNT = 0.1, 16

#: Maximum deviation of the line's period from the usual distance of beats, relative to it.
PERIOD_RANGE = 0.015

#: Maximum distance from the line, in beats, of a beat that counts as on it.
NEAR = 0.1

#: A song is steady if at most this share of its beats, weighted by their activations, is off the line; for beats at
#: random positions, the share is 60 %.
MOST_BESIDE = 0.04

#: A correction is made if the smaller part of the beats has at least the first share, and at most the second.
LEAST_SHIFTED, MOST_SHIFTED = 0.02, 0.4

#: Half the width of a beat on the line, in beats: the first 1/16 of its interval is "on the beat" for the decoder.
REACH = 1 / 16

#: Factor for activations off the line.
DAMPING = 0.1

#: The two activations of a beat on the line add up to at least the first number; if less than the second is heard, the
#: third is the share of the downbeat.
LEAST_SUM, LEAST_HEARD, DOWNBEAT_SHARE = 0.5, 0.02, 0.25

#: Shape of a beat that is filled in: frames relative to its middle, and heights. A single frame would not outweigh the
#: rest of the zone.
SHAPE = ((-1, 0.8), (0, 1.0), (1, 0.8))

#: Number of frames that are added up before the spectrum is computed, so that hours of audio need little memory.
_BLOCK = 32


@dataclass(frozen=True)
class Grid:
    """A line through the beats of a song.

    Attributes
    ----------
    first
        Frame of a beat; may be a fraction.
    period
        Frames from one beat to the next.
    shifted
        Share of the beats that were found half a beat off the line, from 0 to 1, weighted by their activations.
    """

    first: float
    period: float
    shifted: float


def find_grid(activations: Activations, beat_times_s: NDArray[np.float64]) -> Grid | None:
    """Return the line of a steady song if some of its beats are half a beat off it; otherwise None.

    Parameters
    ----------
    activations
        Activations in NumPy.
    beat_times_s
        ``[N]``, in seconds, increasing: the beats decoded from `activations`.
    """
    values = activations.values
    heights = values.sum(axis=1)
    peaks = _peaks(heights)
    beats = np.rint(beat_times_s * activations.frames_per_second).astype(np.int64)
    if len(peaks) < LEAST_COUNT or len(beats) < LEAST_COUNT:
        return None
    first, half = _line(peaks, heights[peaks], np.diff(beats))
    weights = heights[np.clip(beats, 0, len(heights) - 1)]
    number = (beats - first) / half
    nearest = np.rint(number).astype(np.int64)
    is_near = np.abs(number - nearest) / 2 < NEAR
    parts = np.bincount(nearest[is_near] % 2, weights[is_near], minlength=2) / weights.sum()
    if 1 - parts.sum() > MOST_BESIDE or not LEAST_SHIFTED <= parts.min() <= MOST_SHIFTED:
        return None
    return Grid(first + half * int(parts.argmax()), 2 * half, float(parts.min()))


def correction_warning(grid: Grid) -> str:
    """Return the warning about the correction, for the user."""
    return (
        f"The tempo is steady, but {grid.shifted:.0%} of the beats were found half a beat off the rest; they were moved"
        " (--no-steady-phase keeps them)."
    )


def on_grid(activations: Activations, grid: Grid, threshold: float) -> Activations:
    """Return activations whose beats are all on the line.

    Parameters
    ----------
    activations
        Activations in NumPy; they are not modified.
    grid
        As returned by :func:`find_grid`.
    threshold
        Beats are filled in between the first and the last activation that reach this value.
    """
    values = activations.values
    frames = np.arange(len(values))
    distance = np.abs((frames - grid.first + grid.period / 2) % grid.period - grid.period / 2)
    corrected = np.where((distance <= REACH * grid.period)[:, np.newaxis], values, DAMPING * values)

    heard = np.flatnonzero(values.max(axis=1, initial=0) >= threshold)
    if len(heard):
        numbers = np.arange(
            np.ceil((heard[0] - grid.first) / grid.period),
            np.floor((heard[-1] - grid.first) / grid.period) + 1,
        )
        middles = np.rint(grid.first + numbers * grid.period).astype(np.int64)
        _fill_in(corrected, middles, int(REACH * grid.period))
    return replace(activations, values=np.ascontiguousarray(corrected, values.dtype))


def _fill_in(values: NDArray[np.floating], middles: NDArray[np.int64], reach: int) -> None:
    """Raise the activations of beats below :data:`LEAST_SUM`, in place, around the highest frame within `reach`."""
    last = len(values) - 1
    around = middles[:, np.newaxis] + np.arange(-reach, reach + 1)
    sums = values.sum(axis=1)[np.clip(around, 0, last)]
    highest = sums.max(axis=1)
    peaks = np.where(
        highest < LEAST_HEIGHT, middles, around[np.arange(len(around)), sums.argmax(axis=1)]
    )
    prior = np.array([1 - DOWNBEAT_SHARE, DOWNBEAT_SHARE], values.dtype)
    for offset, height in SHAPE:
        frames = np.clip(peaks[highest < LEAST_SUM] + offset, 0, last)
        there = values[frames]
        total = there.sum(axis=1, keepdims=True)
        shares = np.where(total > LEAST_HEARD, there / np.maximum(total, LEAST_HEARD), prior)
        values[frames] = shares * np.maximum(total, height * LEAST_SUM)


def _peaks(heights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Frames that are higher than their neighbours."""
    inner = heights[1:-1]
    is_peak = (inner >= heights[:-2]) & (inner > heights[2:]) & (inner >= LEAST_HEIGHT)
    return np.flatnonzero(is_peak) + 1


def _line(
    peaks: NDArray[np.int64], weights: NDArray[np.floating], distances: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the frame of a half beat, and the number of frames between half beats.

    The period is determined by the maximum of the spectrum of the peaks near two per usual beat.
    """
    median = np.median(distances)
    usual = float(distances[np.abs(distances / median - 1) < 0.06].mean())
    middle = 2 / usual  # half beats per frame
    offsets = peaks - peaks[0]
    turned = weights * np.exp(-2j * np.pi * middle * offsets)
    block = offsets // _BLOCK
    series = np.bincount(block, turned.real) + 1j * np.bincount(block, turned.imag)
    size = 4 * 2 ** int(np.ceil(np.log2(len(series))))
    spectrum = np.fft.fft(series, size)
    frequencies = np.fft.fftfreq(size, _BLOCK)
    spectrum[np.abs(frequencies) > PERIOD_RANGE * middle] = 0
    coarse = middle + float(frequencies[np.abs(spectrum).argmax()])
    # Search again between its neighbours, with each frame of a block on its own.
    fine = coarse + np.linspace(-1, 1, 33) / (size * _BLOCK)
    phasors = [complex(weights @ np.exp(-2j * np.pi * each * offsets)) for each in fine]
    best = int(np.abs(phasors).argmax())
    frequency, phasor = float(fine[best]), phasors[best]
    first = float(peaks[0]) - float(np.angle(phasor)) / (2 * np.pi * frequency)
    return first, 1 / frequency
