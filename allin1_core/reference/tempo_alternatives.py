"""Other tempi in which the beats of a song may be heard, and the prior over tempo.

Beats at half or double the tempo, three instead of two, or two instead of three, follow from the decoded beats. They
are therefore not searched for: each such series is compared with the decoded beats, by their probability according to
the activations and the prior over tempo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from allin1_core.contracts.metre import MetreParameters, TempoAlternative, TempoPrior

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: By relation, in sixths of the distance between decoded beats: its step, and where its first beat may be.
RELATIONS = {
    "half": (12, (0, 6)),
    "double": (3, (0,)),
    "3:2": (4, (0, 2)),
    "2:3": (9, (0, 3, 6)),
}

#: Minimum number of beats for a song to have a tempo.
FEWEST_BEATS = 8

#: Lower bound of probabilities; the upper bound is 1 minus this.
_CERTAIN = 1e-3


def tempo_gains(prior: TempoPrior, bpm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gain of a frame of a beat at each of the tempi `bpm` from the prior."""
    octaves_away = np.log2(bpm / prior.bpm) / prior.octaves
    log_density = -0.5 * octaves_away**2 - np.log(prior.octaves * np.sqrt(2 * np.pi))
    gains: NDArray[np.float64] = prior.strength * log_density
    return gains


def tempo_alternatives(
    values: NDArray[Any],
    beats: NDArray[np.int64],
    parameters: MetreParameters,
    frames_per_second: float,
) -> tuple[TempoAlternative, ...]:
    """Return the other tempi of a song that are within the range of the parameters.

    Parameters
    ----------
    values
        The decoded activations ``[T, 2]``.
    beats
        int64 ``[N]``: frames of the decoded beats, increasing.
    parameters
        Parameters of the decoding.
    frames_per_second
        Frame rate in Hz.

    Returns
    -------
    tuple of TempoAlternative
        The most probable first; empty if there are fewer than :data:`FEWEST_BEATS` beats. The tempo of the decoded
        beats is that of the mean of the intervals within a tenth of their median.

    Notes
    -----
    Possible positions of beats are the decoded beats, and one third, half and two thirds of the distance to the next.
    The height of a position is the highest sum of a frame's two activations within a sixteenth of the usual interval.
    The probability of a beat there is its height divided by the height that a tenth of the decoded beats exceed, at
    most 1, because networks differ in the height of their activations. A series of beats adds up the logarithms of
    these probabilities at its beats, and of one minus them elsewhere, and, for every frame between the first decoded
    beat and the last, the gain of its tempo from the prior. Divided by the number of decoded beats, this is S, and the
    confidence of a series is ``exp(S)`` divided by the sum of that over the decoded beats and the best series of each
    relation. It thus compares the tempi over a single beat; over the whole song, nearly always only one would be left.
    """
    if len(beats) < FEWEST_BEATS:
        return ()
    intervals = np.diff(beats)
    usual = np.sort(intervals)[len(intervals) // 2]
    reach = int(usual) // 16
    # Frames are coarse: without missed beats, the mean is more precise than the median.
    usual = intervals[np.abs(intervals - usual) <= usual / 10].mean()
    found_bpm = 60.0 * frames_per_second / float(usual)

    sixths = np.arange(6 * (len(beats) - 1) + 1)
    sixths = sixths[~np.isin(sixths % 6, (1, 5))]
    frames = np.round(np.interp(sixths / 6, np.arange(len(beats)), beats)).astype(np.int64)
    sums = np.nan_to_num(values.astype(np.float64).sum(axis=1), nan=0.0, neginf=0.0)
    around = np.clip(frames[:, np.newaxis] + np.arange(-reach, reach + 1), 0, len(values) - 1)
    heights = np.clip(sums[around].max(axis=1), 0, 1)
    usual_height = max(float(np.quantile(heights[sixths % 6 == 0], 0.9)), _CERTAIN)
    probability = np.clip(heights / usual_height, _CERTAIN, 1 - _CERTAIN)
    on_beat, off_beat = np.log(probability), np.log(1 - probability)

    def score(first: int, step: int) -> float:
        is_beat = (sixths >= first) & ((sixths - first) % step == 0)
        total = float(np.where(is_beat, on_beat, off_beat).sum())
        if parameters.tempo_prior is not None:
            gain = tempo_gains(parameters.tempo_prior, np.array([found_bpm * 6 / step]))
            total += float(gain[0]) * int(beats[-1] - beats[0])
        return total / len(beats)

    found = score(0, 6)
    others = []
    for relation, (step, firsts) in RELATIONS.items():
        bpm = found_bpm * 6 / step
        if parameters.min_bpm <= bpm <= parameters.max_bpm:
            best, first = max((score(first, step), -first) for first in firsts)
            others.append((best, relation, bpm, -first / 6, step / 6))
    highest = max([found, *(other[0] for other in others)])
    whole = np.exp(found - highest) + sum(np.exp(other[0] - highest) for other in others)
    return tuple(
        TempoAlternative(relation, bpm, float(np.exp(best - highest) / whole), first, step)
        for best, relation, bpm, first, step in sorted(others, reverse=True)
    )
