"""The bar-pointer model: a bar as a ring of beats, each of which takes one of several tempi.

Published for plugins that decode in another way: what follows from the parameters, and what is derived from the
activations and from a decoded path, is the same for all and defined here. Only the search is not.

The model is that of Krebs, Böck and Widmer, *An Efficient State-Space Model for Joint Tempo and Meter Tracking*, ISMIR
2015, with the observation model of Böck, Krebs and Widmer, *Joint Beat and Downbeat Tracking with Recurrent Neural
Networks*, ISMIR 2016, and reproduces madmom's ``DBNDownBeatTrackingProcessor`` (0.17.dev0, commit 27f032e) bit for bit.
Logarithms and exponentials are therefore NumPy's own, and expressions are rounded as in madmom: the C library's
functions differ in the last place.

A *lane* is one beat of the bar at one interval: a chain of as many states as the interval has frames. A path enters it
at the first state, advances one state per frame, leaves it at the last, and enters the next beat at the same or another
interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allin1_core.contracts.metre import Metre, MetreParameters
from allin1_core.errors import ContractError
from allin1_core.reference.tempo_alternatives import tempo_alternatives, tempo_gains

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Columns of :func:`log_densities`.
NO_BEAT, BEAT, DOWNBEAT = 0, 1, 2

#: Warning of a result without beats because no path through the model has a probability above 0.
NO_PATH = (
    "No beats were found: no sequence of beats fits the activations, which are 0, not finite,"
    " or sum to 1 or more in too many frames."
)


@dataclass(frozen=True, eq=False)
class BarPointerModel:
    """The model of some parameters at one frame rate.

    Attributes
    ----------
    beats_per_bar
        Metres, in the order in which ties are resolved.
    intervals
        int64 ``[I]``, increasing: frames from one beat to the next.
    zone_frames
        int64 ``[maximum number of beats, I]``: number of first states of a lane that count as "on the beat". It depends
        on the beat only because of rounding.
    log_transition
        float64 ``[I, I]``: log probability of entering interval ``[row]`` from interval ``[column]``; −inf if it is too
        far. With a prior over tempo, it includes the gain of all frames of the beat.
    log_initial
        float64 ``[metres]``: log probability of each state before the first frame.
    observation_lambda
        As in the parameters.
    frame_gains
        float64 ``[I]``: gain of each frame of a beat from the prior over tempo; None without one.
    """

    beats_per_bar: tuple[int, ...]
    intervals: NDArray[np.int64]
    zone_frames: NDArray[np.int64]
    log_transition: NDArray[np.float64]
    log_initial: NDArray[np.float64]
    observation_lambda: int
    frame_gains: NDArray[np.float64] | None = None

    @property
    def initial_gains(self) -> NDArray[np.float64] | None:
        """float64 ``[I, longest]``: gain of a lane that is entered 1, 2, … frames before the first; None for 0.

        Only its frames within the song count, up to the entry of the next lane.
        """
        if self.frame_gains is None:
            return None
        before = np.arange(1, self.intervals[-1] + 1)
        within = np.maximum(self.intervals[:, np.newaxis] - before, 0)
        return self.frame_gains[:, np.newaxis] * within

    @property
    def final_gains(self) -> NDArray[np.float64] | None:
        """float64 ``[I, longest]``: to be subtracted from a lane with 0, 1, … frames after the last; None for 0."""
        if self.frame_gains is None:
            return None
        return self.frame_gains[:, np.newaxis] * np.arange(self.intervals[-1])


@dataclass(frozen=True, eq=False)
class BestPath:
    """The most probable path of the most probable metre.

    Attributes
    ----------
    metre
        Index of the metre.
    log_probabilities
        Log probability of the best path of each metre together with the activations on it; −inf (or inf, with infinite
        activations) if no path is possible.
    lanes
        int64 ``[L, 3]`` in time order, as taken by :func:`beats_on_path`; empty if no path is possible.
    margins
        float64 ``[L]``, one for each lane: the log probability of this path up to the end of the lane, minus that of
        the best path that continues from there in the same way, but whose previous beat is not observed at the frame at
        which the beat of this lane is reported. For the last lane, both extend to the last frame, and paths that end in
        another beat of the bar count as well. Infinite if there is no other path.
    """

    metre: int
    log_probabilities: tuple[float, ...]
    lanes: NDArray[np.int64]
    margins: NDArray[np.float64]


def bar_pointer_model(parameters: MetreParameters, frames_per_second: float) -> BarPointerModel:
    """Return the model of `parameters` at a frame rate.

    Raises
    ------
    ContractError
        The frames are so far apart that the fastest beat would take less than one frame.
    """
    intervals = _beat_intervals(parameters, frames_per_second)
    states = [beats * int(intervals.sum()) for beats in parameters.beats_per_bar]
    log_transition = _log_transition(intervals, parameters.steadiness)
    frame_gains = None
    if parameters.tempo_prior is not None and parameters.has_tempo_prior:
        frame_gains = tempo_gains(parameters.tempo_prior, 60.0 * frames_per_second / intervals)
        log_transition += (frame_gains * intervals)[:, np.newaxis]
    return BarPointerModel(
        beats_per_bar=parameters.beats_per_bar,
        intervals=intervals,
        zone_frames=_zone_frames(
            intervals, max(parameters.beats_per_bar), parameters.observation_lambda
        ),
        log_transition=log_transition,
        log_initial=np.log(1.0 / np.array(states, np.float64)),
        observation_lambda=parameters.observation_lambda,
        frame_gains=frame_gains,
    )


def _beat_intervals(parameters: MetreParameters, frames_per_second: float) -> NDArray[np.int64]:
    shortest = 60.0 * frames_per_second / parameters.max_bpm
    longest = 60.0 * frames_per_second / parameters.min_bpm
    intervals = np.arange(np.round(shortest), np.round(longest) + 1)
    if intervals[0] < 1:
        raise ContractError(
            f"At {frames_per_second:g} frames per second a beat at {parameters.max_bpm:g} bpm takes"
            " less than a frame.",
            remedy="Lower max_bpm, or give activations of a higher frame rate.",
        )
    wanted = parameters.num_tempi
    if wanted is not None and wanted < len(intervals):
        # Rounding to frames makes some of them equal: use more points until enough are left.
        points = wanted
        while True:
            spaced = np.logspace(np.log2(shortest), np.log2(longest), points, base=2)
            intervals = np.unique(np.round(spaced))
            if len(intervals) >= wanted:
                break
            points += 1
    return intervals.astype(np.int64)


def _zone_frames(
    intervals: NDArray[np.int64], most_beats: int, observation_lambda: int
) -> NDArray[np.int64]:
    border = 1.0 / observation_lambda
    zone_frames = np.empty((most_beats, len(intervals)), np.int64)
    for column, interval in enumerate(intervals):
        position = np.linspace(0, 1, int(interval), endpoint=False)
        for beat in range(most_beats):
            # Adding and subtracting the beat causes rounding, which moves a state on the border to either side.
            zone_frames[beat, column] = np.count_nonzero((position + beat) % 1 < border)
    return zone_frames


def _log_transition(intervals: NDArray[np.int64], transition_lambda: float) -> NDArray[np.float64]:
    frames = intervals.astype(np.float64)
    ratio = frames / frames[:, np.newaxis]
    probability = np.exp(-transition_lambda * np.abs(ratio - 1.0))
    probability[probability <= np.spacing(1)] = 0
    probability /= probability.sum(axis=1)[:, np.newaxis]
    with np.errstate(divide="ignore"):
        return np.ascontiguousarray(np.log(probability).T)


def frames_to_decode(values: NDArray[Any], threshold: float | None) -> tuple[int, int]:
    """Return the first frame that reaches the threshold and the one after the last; equal if none does.

    Parameters
    ----------
    values
        Activations, float32 or float64 ``[T, 2]``.
    threshold
        0 or None for all frames.
    """
    if not threshold:
        return 0, len(values)
    frames = np.nonzero(values >= threshold)[0]
    # madmom tests whether any of the frame *numbers* is not 0, so that frame 0 alone counts as none.
    if not frames.any():
        return 0, 0
    return int(frames[0]), int(frames[-1]) + 1


def log_densities(values: NDArray[Any], observation_lambda: int) -> NDArray[np.float64]:
    """Return the logarithms of the observation densities.

    Parameters
    ----------
    values
        Activations, float32 or float64 ``[T, 2]``. The logarithms are taken in this precision.
    observation_lambda
        As in the parameters.

    Returns
    -------
    ndarray
        float64 ``[3, T]``: no beat, beat, downbeat. −inf if the value is 0, is not a number, or the row sums to more
        than 1, because no state is possible there.
    """
    densities = np.empty((3, len(values)), np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        densities[NO_BEAT] = np.log((1.0 - np.sum(values, axis=1)) / (observation_lambda - 1))
        densities[BEAT] = np.log(values[:, 0])
        densities[DOWNBEAT] = np.log(values[:, 1])
    densities[np.isnan(densities)] = -np.inf
    return densities


def beats_on_path(
    values: NDArray[Any],
    model: BarPointerModel,
    lanes: NDArray[np.int64],
    correct: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the beats of a decoded path.

    Parameters
    ----------
    values
        The decoded activations ``[T, 2]``.
    model
        The model.
    lanes
        int64 ``[L, 3]`` in time order, one row for each lane of the path: frame of its first state (at most 0 for the
        first lane), beat from 0, index of the interval.
    correct
        True: a beat is the frame of the highest activation in the zone of the lane; a lane whose zone contains no frame
        has no beat. False: a beat is the frame in which its number begins.

    Returns
    -------
    frames, positions
        int64 ``[N]`` each: frames within `values`, and positions in the bar from 1.
    """
    total = len(values)
    entry, beat, interval = lanes.T
    passed = np.diff(np.append(np.maximum(entry, 0), total))
    position = np.repeat(beat + 1, passed)
    if not correct:
        frames = np.flatnonzero(np.diff(position)) + 1
        return frames, position[frames]
    state = np.arange(total) - np.repeat(entry, passed)
    in_zone = state < np.repeat(model.zone_frames[beat, interval], passed)
    edges = np.flatnonzero(np.diff(in_zone, prepend=False, append=False)).reshape(-1, 2)
    # Over both columns at once, with two values per frame; NaN counts as a maximum.
    frames = np.array(
        [first + np.argmax(values[first:last]) // 2 for first, last in edges], np.int64
    )
    return frames, position[frames]


def beat_heights(values: NDArray[Any], correct: bool) -> NDArray[np.float64]:
    """Return the values by which :func:`beats_on_path` selects the frame of a beat within its zone.

    Parameters
    ----------
    values
        The decoded activations ``[T, 2]``.
    correct
        As for :func:`beats_on_path`.

    Returns
    -------
    ndarray
        float64 ``[T]``: a beat is reported at the first of the frames of its zone with the highest value.
    """
    if not correct:
        return np.zeros(len(values))
    heights: NDArray[np.float64] = np.maximum(values[:, 0], values[:, 1]).astype(np.float64)
    heights[np.isnan(heights)] = np.inf
    return heights


def metre_on_path(
    values: NDArray[Any],
    model: BarPointerModel,
    path: BestPath,
    parameters: MetreParameters,
    first: int,
    frames_per_second: float,
) -> Metre:
    """Return the result of a decoding.

    Parameters
    ----------
    values, model
        As for :func:`beats_on_path`.
    path
        The decoded path.
    parameters
        Parameters of the model.
    first
        Index of the first decoded frame.
    frames_per_second
        Frame rate in Hz.
    """
    log_probabilities = tuple(zip(model.beats_per_bar, path.log_probabilities, strict=True))
    if not len(path.lanes):
        return Metre(np.empty(0), np.empty(0, np.int64), (NO_PATH,), np.empty(0), log_probabilities)
    frames, positions = beats_on_path(values, model, path.lanes, parameters.correct)
    lane = np.searchsorted(path.lanes[:, 0], frames, side="right") - 1
    best = path.log_probabilities[path.metre]
    others = [score for n, score in enumerate(path.log_probabilities) if n != path.metre]
    return Metre(
        (frames + first) / float(frames_per_second),
        positions,
        beat_confidences=-np.expm1(-path.margins[lane]),
        metre_log_probabilities=log_probabilities,
        metre_confidence=float(-np.expm1(max(others) - best)) if others else None,
        alternatives=tempo_alternatives(values, frames, parameters, frames_per_second),
    )
