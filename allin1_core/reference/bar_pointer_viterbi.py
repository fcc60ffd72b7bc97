"""The most probable path through the bar-pointer model, in NumPy.

Within a lane, scores are only added to, so only two of its scores are needed per frame: that of its first state (the
*entry*) and that of its last (the *exit*). An exit is the entry of one interval earlier plus the densities since then,
added in the order in which a search over all states would add them: the scores, and therefore all decisions including
ties, equal those of such a search bit for bit.

Exits of a block of frames depend only on entries before the block, if the block is not longer than the shortest
interval. All lanes and all frames of a block are therefore computed together, in a few hundred array operations.
Instead of back pointers, the exits are stored, and the predecessor of each beat on the path is determined from them.
For long songs, only the exits of the last stretch are in memory; earlier stretches are computed again from the entries
at their start when the path reaches them. Apart from a few numbers per frame, memory does not grow with the song.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from allin1_core.reference.bar_pointer import (
    BEAT,
    DOWNBEAT,
    NO_BEAT,
    BarPointerModel,
    BestPath,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes of exits in memory: 6 minutes with the default parameters.
EXITS_BYTES = 128 * 2**20

#: Maximum number of scores in a block, so that it fits into a core's own cache even if the intervals are long.
BLOCK_SCORES = 2**16

#: Blocks between two progress reports, about 0.1 s of work.
BLOCKS_PER_REPORT = 64

#: Row of the padded densities that contains zeros, which change nothing when added.
_NOTHING = 3


def most_probable_path(
    model: BarPointerModel,
    densities: NDArray[np.float64],
    heights: NDArray[np.float64],
    progress: Callable[[float], None],
) -> BestPath:
    """Return the best path over all metres.

    Parameters
    ----------
    model
        The model.
    densities
        float64 ``[3, T]``, T above 0, from :func:`~allin1_core.reference.bar_pointer.log_densities`.
    heights
        float64 ``[T]``, from :func:`~allin1_core.reference.bar_pointer.beat_heights`.
    progress
        Called with the fraction that is done.
    """
    layout = _layout(model)
    total = densities.shape[1]
    reach, block = layout.reach, layout.block
    # Zeros before the first frame preserve the initial score. Zeros after the last let every lane run to its end, so
    # that the exits there are the final scores of its states.
    padded = np.zeros((4, reach + total + 2 * (reach + block)))
    padded[:3, reach : reach + total] = densities

    block_count = -(-(total + reach) // block)
    last_block = total // block  # The final scores begin in it.
    block_bytes = 8 * int(np.prod(layout.shape))
    # If a stretch of that size is so short that the entries stored for each would exceed its exits, use the length at
    # which the two are equal.
    stretch = max(EXITS_BYTES // block_bytes, math.isqrt(block_count * (reach + block) // block), 1)
    starts = range(0, last_block + 1, stretch)
    stops = [*starts[1:], block_count]
    exits = np.empty(
        (max(b - a for a, b in zip(starts, stops, strict=True)), *layout.shape), np.float64
    )
    work = block_count + starts[-1]  # All but the last stretch are computed twice.

    # Infinite activations make sums of inf and -inf; the resulting NaN is never chosen, as in the original.
    with np.errstate(invalid="ignore"):
        recent = _initial_entries(layout, model, padded)
        checkpoints = []
        for start, stop in zip(starts, stops, strict=True):
            checkpoints.append(recent.copy())
            _advance(layout, padded, recent, exits, start, stop, start, work, progress)

        metre, log_probabilities, lane, margin = _best_end(
            layout, model, heights, exits[: block_count - starts[-1]], starts[-1]
        )
        if np.isinf(log_probabilities[metre]):
            return BestPath(metre, log_probabilities, np.empty((0, 3), np.int64), np.empty(0))

        visited = [lane]
        margins = [margin]
        for start, stop, checkpoint in reversed(list(zip(starts, stops, checkpoints, strict=True))):
            if stop != block_count:
                done = block_count + starts[-1] - stop
                _advance(layout, padded, checkpoint, exits, start, stop, done, work, progress)
            while visited[-1][0] >= max(start * block, 1):
                lane, margin = _lane_before(
                    layout, model, padded, heights, exits, start, visited[-1]
                )
                visited.append(lane)
                margins.append(margin)
    path = np.array(
        [(frame, layout.beats[row], index) for frame, row, index in reversed(visited)], np.int64
    )
    return BestPath(metre, log_probabilities, path, np.array(margins[::-1]))


@dataclass(frozen=True, eq=False)
class _Layout:
    """The model laid out for whole blocks.

    Arrays of a block have the shape ``[I, R, B]``: intervals, *rows*, frames. A row is one beat of one metre. All
    metres are computed together, because they share intervals and transitions. Each operation applies to all lanes from
    some interval on, because longer lanes have more states.

    Attributes
    ----------
    block
        Frames of a block, B.
    Frames of the longest interval: how far an entry may be before its exit.
        Frames of the longest interval: how far back an exit looks for its entry.
    shape
        Shape of the arrays of a block.
    metres, beats, previous_rows, entry_densities
        For each row: its metre, its beat, the row of the previous beat, and the density of its first state.
    entry_indices
        For each exit of a block, the flat index of its entry in the recent entries ``[I, R, reach + B]``.
    zone_steps
        For the second state of a lane, the third, and so on, as long as any is on the beat: the first interval with
        such a state, and the density of each lane in it ``[intervals, R]``.
    plain_from
        For the last state of a lane, the second to last, and so on: the first interval in which it comes after all zone
        steps. All these states have the density of no beat.
    transitions
        For each difference between interval indices that occurs: the target intervals, the source intervals, and the
        log probabilities ``[targets, 1]``.
    """

    block: int
    reach: int
    shape: tuple[int, int, int]
    metres: NDArray[np.int64]
    beats: NDArray[np.int64]
    previous_rows: NDArray[np.int64]
    entry_densities: NDArray[np.int64]
    entry_indices: NDArray[np.int64]
    zone_steps: tuple[tuple[int, NDArray[np.int64]], ...]
    plain_from: tuple[int, ...]
    transitions: tuple[tuple[slice, slice, NDArray[np.float64]], ...]


def _layout(model: BarPointerModel) -> _Layout:
    counts = model.beats_per_bar
    metres = np.repeat(np.arange(len(counts)), counts)
    beats = np.concatenate([np.arange(n) for n in counts])
    previous_rows = np.concatenate([np.roll(np.arange(n), 1) for n in counts])
    previous_rows += np.repeat(np.cumsum(counts) - counts, counts)
    entry_densities = np.where(beats == 0, DOWNBEAT, BEAT)

    intervals = model.intervals
    lanes = len(intervals) * len(beats)
    reach = int(intervals[-1])
    block = min(int(intervals[0]), max(8, BLOCK_SCORES // lanes))
    columns = (reach - intervals)[:, np.newaxis, np.newaxis] + np.arange(block)
    lane_numbers = np.arange(lanes).reshape(len(intervals), len(beats), 1)

    # Number of states after the zone in every row, reduced so that it never decreases with the interval.
    zones = model.zone_frames[beats]
    plain = intervals - zones.max(axis=0)
    plain = np.minimum.accumulate(plain[::-1])[::-1]
    zone_end = intervals - plain
    zone_steps = []
    for state in range(1, int(zone_end.max())):
        sources = np.where(state < zones.T, entry_densities, NO_BEAT)
        sources[zone_end <= state] = _NOTHING
        first = int(np.argmax(zone_end > state))
        zone_steps.append((first, sources[first:]))
    plain_from = [int(np.argmax(plain > from_end)) for from_end in range(int(plain.max()))]

    transitions = []
    count = len(intervals)
    for difference in range(1 - count, count):
        targets = slice(max(0, -difference), count - max(0, difference))
        sources_at = slice(targets.start + difference, targets.stop + difference)
        values = np.diagonal(model.log_transition, difference)
        if (values > -np.inf).any():
            transitions.append((targets, sources_at, np.ascontiguousarray(values)[:, np.newaxis]))

    return _Layout(
        block=block,
        reach=reach,
        shape=(count, len(beats), block),
        metres=metres,
        beats=beats,
        previous_rows=previous_rows,
        entry_densities=entry_densities,
        entry_indices=lane_numbers * (reach + block) + columns,
        zone_steps=tuple(zone_steps),
        plain_from=tuple(plain_from),
        transitions=tuple(transitions),
    )


def _initial_entries(
    layout: _Layout, model: BarPointerModel, padded: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Recent entries ``[I, R, reach + B]`` before frame 0; the last B frames are filled in later."""
    intervals, rows, block = layout.shape
    recent = np.zeros((intervals, rows, layout.reach + block))
    before = recent[:, :, : layout.reach]
    before += model.log_initial[layout.metres][:, np.newaxis]
    gains = model.initial_gains
    if gains is not None:
        before += gains[:, np.newaxis, ::-1]
    _pass_zone(layout, padded[:, 1:], before)
    return recent


def _pass_zone(
    layout: _Layout, following: NDArray[np.float64], entries: NDArray[np.float64]
) -> None:
    """Add to each entry the densities of the zone steps.

    Parameters
    ----------
    layout
        The layout.
    following
        Padded densities, from the frame after that of the first entry.
    entries
        Scores ``[I, R, frames]`` of first states, which are replaced by those after the zone steps.
    """
    frames = entries.shape[2]
    for step, (first, sources) in enumerate(layout.zone_steps):
        entries[first:] += following[:, step : step + frames][sources]


def _advance(
    layout: _Layout,
    padded: NDArray[np.float64],
    recent: NDArray[np.float64],
    exits: NDArray[np.float64],
    start: int,
    stop: int,
    done: int,
    work: int,
    progress: Callable[[float], None],
) -> None:
    """Compute blocks `start` to `stop`.

    Parameters
    ----------
    layout, padded
        The layout, and the densities, whose column `reach` is frame 0.
    recent
        Entries after their zone steps ``[I, R, reach + B]``, of the frames just before the first block; replaced by
        those before block `stop`.
    exits
        Output: ``exits[n, :, :, s]`` are the scores of last states at the frame *before* frame s of block ``start +
        n``.
    start, stop
        Numbers of blocks.
    done, work, progress
        Number of blocks done before, number of all blocks, and the function that is called with the fraction.
    """
    intervals, rows, block = layout.shape
    reach = layout.reach
    flat = (intervals, rows * block)
    steps = len(layout.plain_from)
    windows = sliding_window_view(padded[NO_BEAT], block)
    no_beat = np.empty((steps, rows, block))
    no_beat_rows = no_beat.reshape(steps, rows * block)
    entries = np.empty(flat)
    candidates = np.empty(flat)
    for number in range(start, stop):
        if number % BLOCKS_PER_REPORT == 0:
            progress((done + number - start) / work)
        now = reach + number * block  # Column of the block's first frame.

        scores = exits[number - start]
        np.take(recent.reshape(-1), layout.entry_indices, out=scores, mode="clip")
        scores = scores.reshape(flat)
        # [n]: the density of no beat n + 1 frames before each frame of the block, for all rows.
        no_beat[:] = windows[now - steps : now][::-1, np.newaxis]
        for step in range(steps - 1, -1, -1):
            scores[layout.plain_from[step] :] += no_beat_rows[step]

        sources = exits[number - start][:, layout.previous_rows].reshape(flat)
        entries.fill(-np.inf)
        for targets, sources_at, log_probabilities in layout.transitions:
            into = candidates[targets]
            np.add(sources[sources_at], log_probabilities, out=into)
            np.fmax(entries[targets], into, out=entries[targets])
        # Adding the density after the maximum gives the same score, since rounding is monotonic.
        entries += padded[layout.entry_densities, now : now + block].reshape(-1)

        recent[:, :, reach:] = entries.reshape(layout.shape)
        _pass_zone(layout, padded[:, now + 1 :], recent[:, :, reach:])
        recent[:, :, :reach] = recent[:, :, block:].copy()


def _best_end(
    layout: _Layout,
    model: BarPointerModel,
    heights: NDArray[np.float64],
    exits: NDArray[np.float64],
    start: int,
) -> tuple[int, tuple[float, ...], tuple[int, int, int], float]:
    """Metre, score of each metre, last lane and its margin; the first of equal states wins.

    The score of state k of a lane at the last frame equals that of its exit ``interval - k`` frames later, because only
    zeros follow.
    """
    total = len(heights)
    first = total - start * layout.block
    # [I, R, time]: exits from the last frame on.
    ends = np.concatenate(list(exits[first // layout.block :]), axis=-1)[
        :, :, first % layout.block :
    ]
    gains = model.final_gains
    if gains is not None:
        # Frames after the last one do not count.
        ends[:, :, : layout.reach] -= gains[:, np.newaxis]
    ends[np.isnan(ends)] = -np.inf
    best = [(-np.inf, (total - 1, int(row), 0)) for row in np.unique(layout.metres)]
    for row, metre in enumerate(layout.metres):
        for index, interval in enumerate(model.intervals):
            scores = ends[index, row, :interval][::-1]
            state = int(np.argmax(scores))
            if scores[state] > best[metre][0]:
                best[metre] = (float(scores[state]), (total - 1 - state, row, index))
    chosen = int(np.argmax([score for score, _ in best]))
    score, lane = best[chosen]

    beat_frame = _beat_frame(layout, model, heights, lane)
    next_score = -np.inf
    for row in np.flatnonzero(layout.metres == chosen).tolist():
        for index, interval in enumerate(model.intervals):
            scores = ends[index, row, :interval]
            if row == lane[1]:
                entries = total - interval + np.arange(interval)
                zone = model.zone_frames[layout.beats[row], index]
                scores = scores[(beat_frame < entries) | (entries + zone <= beat_frame)]
            next_score = max(next_score, float(np.max(scores, initial=-np.inf)))
    return chosen, tuple(score for score, _ in best), lane, score - next_score


def _beat_frame(
    layout: _Layout,
    model: BarPointerModel,
    heights: NDArray[np.float64],
    lane: tuple[int, int, int],
) -> int:
    """Frame at which the beat of a lane is reported."""
    entry, row, index = lane
    zone = int(model.zone_frames[layout.beats[row], index])
    seen = heights[max(entry, 0) : max(entry + zone, 0)]
    return max(entry, 0) + (int(np.argmax(seen)) if len(seen) else 0)


def _lane_before(
    layout: _Layout,
    model: BarPointerModel,
    padded: NDArray[np.float64],
    heights: NDArray[np.float64],
    exits: NDArray[np.float64],
    start: int,
    lane: tuple[int, int, int],
) -> tuple[tuple[int, int, int], float]:
    """The previous lane of the best path: first frame, row, interval; and its margin.

    Here the density is added to each candidate, as in the original: two that differ before may be equal afterwards, and
    then the first wins.
    """
    frame, row, index = lane
    number, offset = divmod(frame, layout.block)
    row_before = int(layout.previous_rows[row])
    scores = exits[number - start, :, row_before, offset] + model.log_transition[index]
    scores += padded[layout.entry_densities[row], layout.reach + frame]
    scores[np.isnan(scores)] = -np.inf
    before = int(np.argmax(scores))
    lane_before = (frame - int(model.intervals[before]), row_before, before)

    beat_frame = _beat_frame(layout, model, heights, lane_before)
    entries = frame - model.intervals
    zones = model.zone_frames[layout.beats[row_before]]
    others = scores[(beat_frame < entries) | (entries + zones <= beat_frame)]
    return lane_before, float(scores[before] - np.max(others, initial=-np.inf))
