"""The most probable path through one metre's model, in bounded memory.

The recursion keeps the scores at the ends of all lanes, its *exits*, as long as they may be needed to trace a
path. A song is processed in segments, and only the exits of the last two segments are in memory. Before the
exits of a segment are overwritten, a likely path is traced through it from the end of the next segment: paths
to different ends nearly always share their past. When the end is known, the true path is traced; from the point
where it meets the likely path, both are identical, since a visit determines the previous one. If they do not
meet, for example in a passage of exact ties, the segment is computed again from the entries that were saved at
its start. The result does not depend on the likely path; only the time does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_backend_dbn_cython._kernel import Lattice
from allin1_backend_dbn_cython.tables import LINE, MetreTables
from allin1_core.contracts.metre import MetreParameters
from allin1_core.reference.bar_pointer import beat_heights, log_densities

#: Size in bytes of the exits of a segment, unless that would be fewer frames than FEWEST_INTERVALS.
SEGMENT_BYTES = 8 << 20

#: Minimum length of a segment, in longest intervals, within which the likely and the true path should meet.
FEWEST_INTERVALS = 16


@dataclass(frozen=True, eq=False)
class Path:
    """The most probable path through one metre.

    Attributes
    ----------
    log_probability
        Log probability of the path and the observations; not finite if there is no path.
    lanes
        int64 ``[L, 3]``, as in :class:`~allin1_core.reference.bar_pointer.BestPath`.
    margins
        float64 ``[L]``, as in  :class:`~allin1_core.reference.bar_pointer.BestPath`.
    """

    log_probability: float
    lanes: NDArray[np.int64]
    margins: NDArray[np.float64]


@dataclass(eq=False)
class Workspace:
    """Memory that is reused by successive decodings."""

    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def take(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return an uninitialised array, aligned to a cache line; it replaces the previous one of this name."""
        size = int(np.prod(shape))
        kept = self.arrays.get(name)
        if kept is None or kept.size < size:
            memory = np.empty(size + LINE)
            start = -(memory.ctypes.data // memory.itemsize) % LINE
            kept = self.arrays[name] = memory[start : start + size]
        return kept[:size].reshape(shape)


def observed_series(
    values: NDArray[Any], parameters: MetreParameters, padding: int
) -> NDArray[np.float64]:
    """Convert the activations of a song to the input of the search.

    Parameters
    ----------
    values
        Activations ``[T, 2]`` with T >= 1, of any floating-point type.
    parameters
        Parameters, of which ``observation_lambda`` and ``correct`` are used.
    padding
        Number of zeros on either side, at least ``MetreTables.padding``.

    Returns
    -------
    float64 ``[4, padding + T + padding]``: log densities of no beat, beat and downbeat, and heights.
    """
    series = np.zeros((4, padding + len(values) + padding))
    inner = series[:, padding : padding + len(values)]
    inner[:3] = log_densities(values, parameters.observation_lambda)
    inner[3] = beat_heights(values, parameters.correct)
    return series


def segment_frames(tables: MetreTables, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Number of frames in a segment, a multiple of the model's block."""
    blocks = segment_bytes // (8 * tables.lanes * tables.width)
    fewest = -(-FEWEST_INTERVALS * int(tables.intervals[-1]) // tables.block)
    return max(blocks, fewest, 1) * tables.block


def find_path(
    tables: MetreTables,
    series: NDArray[np.float64],
    instruction_set: str,
    workspace: Workspace,
    frames_per_segment: int | None = None,
) -> Path:
    """Find the most probable path of one metre through a song.

    Parameters
    ----------
    tables
        The metre.
    series
        Input, from :func:`observed_series`.
    instruction_set
        An instruction set that this processor supports.
    workspace
        Memory to use; no other call may use it at the same time.
    frames_per_segment
        A multiple of the model's block; None for :func:`segment_frames`.
    """
    entries = workspace.take("entries", tables.lanes, tables.ring_row)
    lattice = Lattice(tables, series, entries, instruction_set)
    if tables.initial_gains is not None:
        # The last frames of the ring are those before the first one.
        longest = tables.initial_gains.shape[1]
        before = _by_beat(tables, entries)[:, :, tables.ring - longest : tables.ring]
        before += tables.initial_gains[:, ::-1]
    frames = lattice.frames
    whole = -(-frames // tables.block) * tables.block
    length = min(frames_per_segment or segment_frames(tables), whole)
    segments = [(begin, min(begin + length, frames)) for begin in range(0, frames, length)]
    shape = (length // tables.block, tables.lanes, tables.width)
    exits = [workspace.take(f"exits {n}", *shape) for n in range(min(2, len(segments)))]
    entries_before: list[NDArray[np.float64]] = []
    likely: list[_Trail] = []

    for n, (begin, end) in enumerate(segments):
        if n < len(segments) - 2:
            entries_before.append(entries.copy())
        lattice.advance(begin, end, exits[n % 2])
        if 1 <= n < len(segments) - 1:
            guess = _start(lattice.likely_visit(exits[n % 2], begin, end - 1))
            bridge = guess.joined(_trace(lattice, exits[n % 2], begin, end, guess.last))
            start = _start(bridge.last)
            earlier = _trace(lattice, exits[1 - n % 2], *segments[n - 1], start.last)
            likely.append(start.joined(earlier))

    scores = workspace.take("scores", tables.lanes, tables.end_row)
    lattice.finish(scores)
    if tables.final_gains is not None:
        # The values after the end of a shorter lane are arbitrary, and not used.
        with np.errstate(all="ignore"):
            _by_beat(tables, scores)[:, :, : tables.final_gains.shape[1]] -= tables.final_gains
    score, visit, margin = lattice.best_end(scores)
    if not np.isfinite(score):
        return Path(score, np.empty((0, 3), np.int64), np.empty(0))
    path = _start(visit, margin)
    for n in reversed(range(len(segments))):
        begin, end = segments[n]
        if path.last[0] < begin:
            continue
        known = likely[n].behind(path.last) if n < len(likely) else None
        if known is None:
            if n < len(likely):
                entries[:] = entries_before[n]
                lattice.advance(begin, end, exits[n % 2])
            known = _trace(lattice, exits[n % 2], begin, end, path.last)
        path = path.joined(known)
    return Path(score, path.visits[::-1].astype(np.int64), path.margins[::-1])


def _by_beat(tables: MetreTables, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a view ``[beats, I, row]`` with one row per lane."""
    return rows.reshape(tables.beats, len(tables.intervals), -1)


@dataclass(frozen=True, eq=False)
class _Trail:
    """Visits, latest first, with their margins."""

    visits: NDArray[np.int32]
    margins: NDArray[np.float64]

    @property
    def last(self) -> tuple[int, int, int]:
        frame, beat, interval = self.visits[-1].tolist()
        return frame, beat, interval

    def joined(self, earlier: _Trail) -> _Trail:
        return _Trail(
            np.concatenate((self.visits, earlier.visits)),
            np.concatenate((self.margins, earlier.margins)),
        )

    def behind(self, visit: tuple[int, int, int]) -> _Trail | None:
        """The part before `visit` in time, or None if it is not on this trail."""
        (places,) = np.nonzero((self.visits == visit).all(axis=1))
        if not len(places):
            return None
        return _Trail(self.visits[places[0] + 1 :], self.margins[places[0] + 1 :])


def _start(visit: tuple[int, int, int], margin: float = np.nan) -> _Trail:
    """Return a trail of one visit; the margin is optional."""
    return _Trail(np.array([visit], np.int32), np.array([margin]))


def _trace(
    lattice: Lattice,
    exits: NDArray[np.float64],
    begin: int,
    end: int,
    visit: tuple[int, int, int],
) -> _Trail:
    """Return the visits before `visit`, up to the first one that is entered before `begin`."""
    capacity = (end - begin) // lattice.shortest + 2
    visits = np.empty((capacity, 3), np.int32)
    margins = np.empty(capacity)
    count = lattice.trace(exits, begin, end, visit, visits, margins)
    return _Trail(visits[:count], margins[:count])
