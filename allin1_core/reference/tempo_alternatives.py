"""Other tempi that the beats of a song may be heard in, and the prior over tempo.

Beats at half or double the tempo, three where two were found, or two where three were, follow from those that were
found. So they are not searched for: each such series is compared with the beats found by what the activations, and
the prior over tempo, say of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from allin1_core.contracts.metre import MetreParameters, TempoAlternative, TempoPrior

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: By relation, in sixths of the way from one beat found to the next: its step, and where its first beat may be.
RELATIONS = {
    "half": (12, (0, 6)),
    "double": (3, (0,)),
    "3:2": (4, (0, 2)),
    "2:3": (9, (0, 3, 6)),
}

#: Beats from which on a song is said to have a tempo.
FEWEST_BEATS = 8

#: No probability is taken for less than this, nor for more than 1 minus it.
_CERTAIN = 1e-3


def tempo_gains(prior: TempoPrior, bpm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a frame of a beat at each of the tempi `bpm` gains from the prior."""
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
        int64 ``[N]``: frames of the beats found, rising.
    parameters
        Those of the decoding.
    frames_per_second
        Rate of the frames.

    Returns
    -------
    tuple of TempoAlternative
        The most probable first; empty if there are fewer than :data:`FEWEST_BEATS` beats. The tempo of the beats
        found is that of the mean of the intervals within a tenth of their median.

    Notes
    -----
    Every beat found, and the thirds, the middle and the two thirds of the way to the next, is a place where a beat may
    be. Its height is the highest sum of a frame's two activations within a sixteenth of the usual interval, and the
    probability of a beat there is its height over that which a tenth of the beats found exceed, 1 at most: networks
    differ in how high they go. A series of beats adds up the logarithms of these probabilities at its beats, and of one minus them
    elsewhere, and for every frame between the first beat found and the last what its tempo gains from the prior. Divided
    by the number of beats found this is S, and the confidence of a series is ``exp(S)`` divided by the sum of that
    over the beats found and the best series of each relation. So it compares the tempi over a beat; over the whole
    song, nearly always only one would be left.
    """
    if len(beats) < FEWEST_BEATS:
        return ()
    intervals = np.diff(beats)
    usual = np.sort(intervals)[len(intervals) // 2]
    reach = int(usual) // 16
    # Frames are coarse: the mean says more than the median, without the beats that were missed.
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
