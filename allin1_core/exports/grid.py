"""Beats as a tempo map: constant tempo between anchors, with as few anchors as a tolerance allows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from allin1_core.contracts.export import Song

#: The largest error of a grid at any beat, in seconds. Beats have a resolution of 10 ms: a grid that followed them more
#: closely would change the tempo of a steady song at every other beat.
TOLERANCE_S = 0.012


@dataclass(frozen=True)
class Anchor:
    """A beat from which the tempo is constant, up to the next anchor.

    Attributes
    ----------
    time_s
        Time in seconds.
    bpm
        Beats per minute, rounded as the format requires.
    beat
        Index of the beat in the song, from 0.
    position
        Its position in the bar, from 1.
    """

    time_s: float
    bpm: float
    beat: int
    position: int


def anchors_of(song: Song, *, tolerance_s: float, decimals: int) -> list[Anchor]:
    """Describe the beats of `song` by as few anchors as keep each beat within a tolerance.

    Greedy: from an anchor, the grid continues as long as some tempo predicts every beat within the tolerance. The first
    anchor is the first downbeat, and the others are downbeats if possible. Beats before the first downbeat
    have no anchor of their own: a reader extrapolates them.

    Parameters
    ----------
    song
        The song; without at least two beats it has no anchors.
    tolerance_s
        Largest error of a beat that the grid predicts, in seconds.
    decimals
        Digits of the tempo that the format keeps.

    Returns
    -------
    list of Anchor
        In order of time.
    """
    times, places = [float(t) for t in song.result.beats], song.result.beat_positions
    anchors: list[Anchor] = []
    first, last = 0, len(times) - 1
    if 1 in places[:last]:
        first = places.index(1)
    while first < last:
        stop, bpm = _reach(times, first, tolerance_s, decimals)
        if stop < last:
            # A tempo that predicts every beat up to `stop` also predicts those up to an earlier downbeat.
            stop = max((i for i in range(first + 1, stop + 1) if places[i] == 1), default=stop)
        anchors.append(Anchor(times[first], bpm, first, places[first]))
        first = stop
    return anchors


def predicted(anchors: Sequence[Anchor], count: int) -> list[float]:
    """Return the times in seconds of beats ``0 … count - 1`` on the grid of `anchors`."""
    times = []
    for beat in range(count):
        anchor = anchors[0]
        for following in anchors[1:]:
            if following.beat > beat:
                break
            anchor = following
        times.append(anchor.time_s + (beat - anchor.beat) * 60 / anchor.bpm)
    return times


def _reach(
    times: Sequence[float], first: int, tolerance_s: float, decimals: int
) -> tuple[int, float]:
    """Find the last beat that a constant tempo from `first` predicts, and that tempo.

    The intervals of tempo that each beat allows are intersected, so one pass over the beats is enough.
    """
    low, high = 0.0, float("inf")
    best = first + 1, _tempo(times, first, first + 1, decimals)
    for stop in range(first + 1, len(times)):
        beats, length = stop - first, times[stop] - times[first]
        low = max(low, (length - tolerance_s) / beats)
        high = min(high, (length + tolerance_s) / beats)
        if low > high:
            break
        bpm = round(60 / ((low + high) / 2), decimals)
        if low <= 60 / bpm <= high:
            best = stop, bpm
    return best


def _tempo(times: Sequence[float], first: int, stop: int, decimals: int) -> float:
    return round(60 * (stop - first) / (times[stop] - times[first]), decimals)


def metre_at(song: Song, beat: int) -> int:
    """Return the number of beats in the bar of `beat`, or in the song's longest bar if that bar is incomplete."""
    places = song.result.beat_positions
    longest = max(places, default=4)
    downbeats = [i for i, place in enumerate(places) if place == 1]
    for one, following in itertools.pairwise(downbeats):
        if one <= beat < following:
            return following - one
    return longest
