"""The search, compared with one over all states, and with minimal memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from allin1_backend_dbn_cython import viterbi
from allin1_backend_dbn_cython._kernel import Lattice, instruction_sets
from allin1_backend_dbn_cython.tables import MetreTables, build
from allin1_backend_dbn_cython.viterbi import (
    Path,
    Workspace,
    find_path,
    observed_series,
    segment_frames,
)
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters

ISA = instruction_sets()[0]


def series_of(values: NDArray[Any], tables: MetreTables) -> NDArray[np.float64]:
    return observed_series(values, MetreParameters(), tables.padding)


def search_all_states(tables: MetreTables, series: NDArray[np.float64]) -> Path:
    """Run textbook Viterbi over every state (beat, interval, position)."""
    states = [
        (beat, i, k)
        for beat in range(tables.beats)
        for i, interval in enumerate(tables.intervals)
        for k in range(interval)
    ]
    number = {state: n for n, state in enumerate(states)}
    into: list[list[tuple[int, float]]] = []
    observes: list[int] = []
    for beat, i, k in states:
        observes.append((1 if beat else 2) if k < tables.zones[beat, i] else 0)
        if k:
            into.append([(number[beat, i, k - 1], 0.0)])
        else:
            before = (beat - 1) % tables.beats
            into.append(
                [
                    (number[before, j, int(tables.intervals[j]) - 1], tables.log_transition[i, j])
                    for j in range(len(tables.intervals))
                    if tables.log_transition[i, j] > -np.inf
                ]
            )
    frames = series.shape[1] - 2 * tables.padding
    inner = series[:, tables.padding : tables.padding + frames]

    def options(t: int, s: int) -> list[float]:
        return [(scores[t][p] + a) + inner[observes[s], t] for p, a in into[s]]

    scores = np.full((frames + 1, len(states)), tables.log_initial)
    for t in range(frames):
        scores[t + 1] = [max(options(t, s)) for s in range(len(states))]

    def zone(entry: int, beat: int, i: int) -> range:
        return range(entry, entry + int(tables.zones[beat, i]))

    def reported(entry: int, beat: int, i: int) -> int:
        seen = [frame for frame in zone(entry, beat, i) if 0 <= frame < frames]
        return max(seen, key=lambda frame: inner[3, frame]) if seen else max(entry, 0)

    state = int(np.argmax(scores[-1]))
    log_probability = float(scores[-1][state])
    beat, i, k = states[state]
    lanes = [(frames - 1 - k, beat, i)]
    frame = reported(*lanes[0])
    rivals = [
        score
        for score, (other, j, m) in zip(scores[-1], states, strict=True)
        if other != beat or frame not in zone(frames - 1 - m, other, j)
    ]
    margins = [log_probability - max(rivals, default=-np.inf)]
    for t in reversed(range(1, frames)):
        among = options(t, state)
        best = int(np.argmax(among))
        if states[state][2] == 0:
            sources = [states[p][:2] for p, _ in into[state]]
            entries = [t - int(tables.intervals[j]) for _, j in sources]
            lanes.append((entries[best], *sources[best]))
            frame = reported(*lanes[-1])
            rivals = [
                score
                for score, entry, source in zip(among, entries, sources, strict=True)
                if frame not in zone(entry, *source)
            ]
            margins.append(among[best] - max(rivals, default=-np.inf))
        state = into[state][best][0]
    return Path(log_probability, np.array(lanes[::-1]), np.array(margins[::-1]))


def songs(frames: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(frames)
    pulse = np.full((frames, 2), 0.02)
    pulse[::7] = 0.6, 0.02
    pulse[::21] = 0.02, 0.6
    return {
        "pulse": pulse,
        "noise": rng.uniform(0.01, 0.4, (frames, 2)),
        "ties": rng.integers(1, 4, (frames, 2)) / 10,
        "constant": np.full((frames, 2), 0.25),
    }


SMALL = MetreParameters(beats_per_bar=(1, 2, 3, 5), min_bpm=60, max_bpm=200, transition_lambda=20)


#: The tempo may change freely, and half of each beat is on the beat.
LOOSE = MetreParameters(
    beats_per_bar=(1, 2, 3, 5), min_bpm=40, max_bpm=90, transition_lambda=1, observation_lambda=2
)


@pytest.mark.parametrize("beats", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["pulse", "noise", "ties", "constant"])
@pytest.mark.parametrize("frames", [1, 2, 7, 9, 24, 47])
@pytest.mark.parametrize(("parameters", "rate"), [(SMALL, 10.0), (LOOSE, 5.0)])
def test_path_score_and_margins_are_those_of_a_search_over_all_states(
    parameters: MetreParameters, rate: float, frames: int, kind: str, beats: int
) -> None:
    tables = build(parameters, rate)[1][beats]
    series = observed_series(songs(frames)[kind], parameters, tables.padding)
    wanted = search_all_states(tables, series)
    path = find_path(tables, series, ISA, Workspace())
    assert path.log_probability == wanted.log_probability
    np.testing.assert_array_equal(path.lanes, wanted.lanes)
    np.testing.assert_array_equal(path.margins, wanted.margins)


class Counting(Lattice):
    """Count the frames that are computed."""

    frames_computed = 0

    def advance(self, begin: int, end: int, exits: NDArray[np.float64]) -> None:
        Counting.frames_computed += end - begin
        super().advance(begin, end, exits)


@pytest.mark.parametrize("kind", ["pulse", "noise", "ties", "constant"])
@pytest.mark.parametrize("blocks", [1, 2, 5, 40])
@pytest.mark.parametrize(("parameters", "rate"), [(SMALL, 10.0), (MetreParameters(), 100.0)])
def test_segments_change_nothing(
    parameters: MetreParameters, rate: float, blocks: int, kind: str
) -> None:
    values = songs(1900)[kind]
    for tables in build(parameters, rate)[1]:
        series = series_of(values, tables)
        whole = find_path(tables, series, ISA, Workspace(), 4800)
        parts = find_path(tables, series, ISA, Workspace(), blocks * tables.block)
        assert parts.log_probability == whole.log_probability
        np.testing.assert_array_equal(parts.lanes, whole.lanes)
        np.testing.assert_array_equal(parts.margins, whole.margins)


def test_only_ties_are_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viterbi, "Lattice", Counting)
    frames = 12_000
    (_, four) = build(MetreParameters(), 100.0)[1]
    pulse = np.random.default_rng(1).uniform(0.01, 0.03, (frames, 2))
    pulse[::50] = 0.6, 0.02
    pulse[::200] = 0.02, 0.6
    computed = {}
    for kind, values in (("pulse", pulse), ("constant", np.full((frames, 2), 0.25))):
        Counting.frames_computed = 0
        find_path(four, series_of(values, four), ISA, Workspace(), 2400)
        computed[kind] = Counting.frames_computed
    assert computed["pulse"] == frames
    assert frames < computed["constant"] < 2 * frames


def test_a_workspace_is_reused() -> None:
    (three, four) = build(MetreParameters(), 100.0)[1]
    workspace = Workspace()
    values = songs(3000)["noise"]
    fresh = find_path(three, series_of(values, three), ISA, Workspace())
    find_path(four, series_of(values, four), ISA, workspace)
    memory = {name: array.ctypes.data for name, array in workspace.arrays.items()}
    used = find_path(three, series_of(values, three), ISA, workspace)
    assert {name: array.ctypes.data for name, array in workspace.arrays.items()} == memory
    np.testing.assert_array_equal(used.lanes, fresh.lanes)


def test_segments_hold_many_bars_even_of_large_models() -> None:
    for parameters, rate in (
        (MetreParameters(), 100.0),
        (MetreParameters(beats_per_bar=(12,), num_tempi=None), 500.0),
    ):
        for tables in build(parameters, rate)[1]:
            frames = segment_frames(tables)
            assert frames % tables.block == 0
            assert frames >= 16 * tables.intervals[-1]


def test_tables_are_cached() -> None:
    assert build(MetreParameters(), 100.0) is build(MetreParameters(), 100.0)


def test_the_kernel_refuses_arrays_of_wrong_shapes() -> None:
    (three, _) = build(MetreParameters(), 100.0)[1]
    series = series_of(songs(100)["noise"], three)
    entries = np.empty((three.lanes, three.ring_row))
    with pytest.raises(ValueError, match="series"):
        Lattice(three, series[:2], entries, ISA)
    with pytest.raises(ValueError, match="entries"):
        Lattice(three, series, entries[1:], ISA)
    with pytest.raises(ValueError, match="mmx"):
        Lattice(three, series, entries, "mmx")
    lattice = Lattice(three, series, entries, ISA)
    exits = np.empty((4, three.lanes, three.width))
    with pytest.raises(ValueError, match="hold the requested frames"):
        lattice.advance(0, 100, exits)
    with pytest.raises(ValueError, match="multiple of the block"):
        lattice.advance(1, 90, exits)
    with pytest.raises(ValueError, match="multiple of the block"):
        lattice.advance(0, 101, np.empty((5, three.lanes, three.width)))
    for use in (lattice.finish, lattice.best_end):
        with pytest.raises(ValueError, match="scores"):
            use(np.empty((three.lanes, 8)))
    visits, margins = np.empty((9, 3), np.int32), np.empty(9)
    with pytest.raises(ValueError, match="beat or interval"):
        lattice.trace(exits, 0, 96, (90, 3, 0), visits, margins)
    with pytest.raises(ValueError, match="before the end of the exits"):
        lattice.trace(exits, 0, 96, (96, 0, 0), visits, margins)
