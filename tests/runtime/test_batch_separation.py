"""Several short songs separated in one call, while they keep their own results, errors and times."""

from __future__ import annotations

import itertools
import json
import math
import threading

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.errors import InputError
from allin1_core.io.mix import MixFile
from allin1_core.runtime import batch, batch_separation, reading_ahead
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import download, on_foreign, upload

SECONDS = [0.4, 0.6, 0.5, 0.4, 0.7, 0.4]


@pytest.fixture(autouse=True)
def _sixteen_cpus(monkeypatch):
    monkeypatch.setattr(reading_ahead, "usable_cpus", lambda: 16)
    # The tests watch how songs are read in this process.
    monkeypatch.setattr(batch, "FEWEST_FOR_PROCESSES", math.inf)


@pytest.fixture
def album(write_song):
    return [
        write_song(f"{number}.wav", seconds, seed=number) for number, seconds in enumerate(SECONDS)
    ]


def quick_network(setup):
    """A network that costs nothing, with logits that depend on the stems."""

    def run(spectrogram, task):
        task.progress(1.0)
        means = spectrogram.frames.mean(axis=2)
        beat = 9 * np.diff(means.sum(axis=0), prepend=0.0).astype(np.float32)
        return Logits(beat, beat - 1, beat - 2, np.repeat(means[:1], 10, axis=0))

    return run


class Separators:
    """Makes separators on a device, and notes the lengths in seconds of the songs in each call."""

    def __init__(self, monkeypatch, shares):
        self.calls: list[list[float]] = []
        self.shares = shares
        self.songs_read: list[str] = []
        self.all_read = threading.Event()
        read = MixFile.read

        def watched(file):
            try:
                return read(file)
            finally:
                self.songs_read.append(file.path.name)
                if len(self.songs_read) == len(SECONDS):
                    self.all_read.set()

        monkeypatch.setattr(MixFile, "read", watched)

    def make(self, *, batch=None, waits=True):
        """A separator; `batch` replaces its method of this name, and is given it."""
        noted = self

        class Separator:
            def __init__(self, setup):
                if waits:
                    assert noted.all_read.wait(60)

            def __call__(self, mix, task):
                noted.calls.append([mix.duration_s])
                return self.separate(mix, task)

            def separate(self, mix, task):
                task.progress(1.0)
                samples = download(mix.samples, "cpu")
                return Stems(upload(noted.shares * samples, "npu"))

            def all_of(self, mixes, task):
                noted.calls.append([mix.duration_s for mix in mixes])
                for number in range(len(mixes)):
                    task.progress((number + 1) / len(mixes))
                return [self.separate(mix, task) for mix in mixes]

            def batch(self, mixes, task):
                return self.all_of(mixes, task) if batch is None else batch(self, mixes, task)

        return Separator


@pytest.fixture
def separators(monkeypatch, separator):
    # All songs are read before the first is separated.
    monkeypatch.setattr(reading_ahead, "FIRST_AHEAD", len(SECONDS))
    return Separators(monkeypatch, separator.SHARES)


def values_of(outcomes):
    return [
        None if o.result is None else (o.result.beats, o.result.downbeats, o.result.segments)
        for o in outcomes
    ]


@pytest.fixture
def run(make_session, backend_plugin, album):
    """Analyse the album, with a separator."""

    def analyse(separator, paths=album, *, plugins=None, progress=None, out_dir=None, **options):
        plugin = backend_plugin("demix", foreign=True, npu=separator)
        others = plugins or {"network": backend_plugin("nn", quick=quick_network)}
        with make_session(plugins={"npu": plugin, **others}, **options) as session:
            tracks = make_tracks(paths)
            return list(run_batch(session, tracks, progress=progress, out_dir=out_dir))

    return analyse


def test_short_songs_are_separated_in_one_call_with_the_results_that_each_has_alone(
    run, separators, tmp_path
):
    timings = tmp_path / "timings.jsonl"
    outcomes = run(separators.make(), timings_path=timings, out_dir=tmp_path / "out")
    assert separators.calls == [SECONDS[:1], SECONDS[1:]]
    single = separators.make(waits=False)
    del single.batch
    separators.calls.clear()
    alone = run(single)
    assert separators.calls == [[seconds] for seconds in SECONDS]
    assert [o.track.name for o in outcomes] == list("012345")
    assert values_of(outcomes) == values_of(alone)
    for one, other in zip(outcomes, alone, strict=True):
        assert one.written.is_file()
        stages = [(r.stages, r.backend, r.copies) for r in one.result.provenance.stages]
        assert stages == [(r.stages, r.backend, r.copies) for r in other.result.provenance.stages]
        demix = one.result.provenance.stages[0]
        assert 0 < demix.seconds <= one.seconds + 1e-3
    rows = [json.loads(line) for line in timings.read_text().splitlines()]
    rows = [row for row in rows if row["stage"] == "demix"]
    assert [row["track"] for row in rows] == list("012345")
    shares = [row["duration"] / seconds for row, seconds in zip(rows, SECONDS, strict=True)][1:]
    np.testing.assert_allclose(shares, shares[0], rtol=0.05)
    for before, after in itertools.pairwise(rows[1:]):
        assert after["start"] == pytest.approx(before["end"], abs=1e-4)


def test_a_batch_is_limited_by_the_length_of_its_songs(run, separators, monkeypatch):
    monkeypatch.setattr(batch_separation, "MOST_BATCH_S", 1.2)
    outcomes = run(separators.make())
    assert [o.status for o in outcomes] == ["done"] * 6
    assert separators.calls == [[0.4], [0.6, 0.5], [0.4, 0.7], [0.4]]


def test_long_songs_are_separated_one_by_one(run, separators, monkeypatch):
    monkeypatch.setattr("allin1_core.runtime.pipeline.MOST_SONG_S", 0.55)
    outcomes = run(separators.make())
    assert [o.status for o in outcomes] == ["done"] * 6
    assert separators.calls == [[0.4], [0.6], [0.5, 0.4], [0.7], [0.4]]


def test_if_a_batch_fails_its_songs_are_separated_one_by_one(run, separators, caplog):
    attempts = []

    def broken(self, mixes, task):
        attempts.append(len(mixes))
        raise RuntimeError("the device has had enough")

    outcomes = run(separators.make(batch=broken))
    assert [o.status for o in outcomes] == ["done"] * 6
    assert attempts == [5]
    assert separators.calls == [[seconds] for seconds in SECONDS]
    assert caplog.text.count("the device has had enough") == 1
    assert all(not o.result.provenance.fallbacks for o in outcomes)


@pytest.mark.parametrize(
    "fault",
    [
        lambda found: found[:-1],
        lambda found: found[::-1],
        lambda found: [*found[:-1], None],
        lambda found: [*found[:-1], Mix(np.zeros((2, 9), np.float32))],
        lambda found: [*found[:-1], Stems(np.zeros((4, 2, 9), np.float32))],
    ],
)
def test_if_a_batch_breaks_its_contract_its_songs_are_separated_one_by_one(
    run, separators, caplog, fault
):
    outcomes = run(separators.make(batch=lambda self, mixes, task: fault(self.all_of(mixes, task))))
    assert [o.status for o in outcomes] == ["done"] * 6
    assert separators.calls[2:] == [[seconds] for seconds in SECONDS[1:]]
    assert "one by one" in caplog.text


def test_a_song_that_cannot_be_separated_costs_no_other(run, separators, caplog):
    def refusing(mix):
        if mix.duration_s == SECONDS[2]:
            raise InputError("The song is of the wrong kind.")

    separator = separators.make(
        batch=lambda self, mixes, task: [self.separate(m, task) for m in mixes if not refusing(m)]
    )
    plain = separator.__call__

    def call(self, mix, task):
        refusing(mix)
        return plain(self, mix, task)

    separator.__call__ = call
    outcomes = run(separator)
    assert [o.status for o in outcomes] == ["done", "done", "failed", "done", "done", "done"]
    assert "wrong kind" in str(outcomes[2].error)
    assert "one by one" not in caplog.text


def test_a_song_that_cannot_be_read_ends_a_batch_and_costs_no_other(run, separators, album):
    soundfile.write(album[3], np.full((SAMPLE_RATE, 2), np.nan), SAMPLE_RATE, subtype="FLOAT")
    outcomes = run(separators.make())
    assert [o.status for o in outcomes] == ["done", "done", "done", "failed", "done", "done"]
    assert separators.calls == [[0.4], [0.6, 0.5], [0.7, 0.4]]


def test_ctrl_c_within_a_batch_ends_the_run(run, separators, tmp_path):
    def interrupt(index, stage, fraction):
        if index == 3 and stage == "demix":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(separators.make(), progress=interrupt, out_dir=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"0.json"}


def test_an_exception_of_the_progress_within_a_batch_ends_the_run(run, separators, caplog):
    def refuse(index, stage, fraction):
        if index == 3 and stage == "demix":
            raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        run(separators.make(), progress=refuse)
    assert "one by one" not in caplog.text


def test_the_progress_of_each_song_of_a_batch_grows(run, separators):
    told: dict[int, list[float]] = {}
    run(separators.make(), progress=lambda index, _, done: told.setdefault(index, []).append(done))
    assert sorted(told) == [*range(6)]
    for fractions in told.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] > 0


def test_stems_of_songs_that_are_separated_together_are_kept(run, separators, tmp_path):
    run(separators.make(), keep_stems=True, demix_dir=tmp_path / "demix")
    assert [len(call) for call in separators.calls] == [1, 5]
    found = sorted(path.parent.name for path in (tmp_path / "demix").rglob("bass.wav"))
    assert found == list("012345")
    for number, seconds in enumerate(SECONDS):
        (path,) = (tmp_path / "demix").rglob(f"{number}/bass.wav")
        assert soundfile.info(path).duration == pytest.approx(seconds)


def test_a_backend_that_fails_after_a_batch_is_replaced_for_all_of_it(
    run, separators, backend_plugin
):
    calls = []

    def create(setup):
        call = on_foreign(quick_network(setup))

        def fail(spectrogram, task):
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("the third is too much")
            return call(spectrogram, task)

        return fail

    plugin = backend_plugin("nn", foreign=True, failing=create)
    outcomes = run(separators.make(), plugins={"failing": plugin})
    assert [o.status for o in outcomes] == ["done"] * 6
    assert [len(call) for call in separators.calls] == [1, 5]
    backends = [
        next(r.backend for r in o.result.provenance.stages if r.stages == ("nn",)) for o in outcomes
    ]
    assert backends == ["failing"] * 2 + ["reference"] * 4
    assert [len(o.result.provenance.fallbacks) for o in outcomes] == [0, 0, 1, 0, 0, 0]
    assert len(calls) == 3


def test_on_a_cpu_songs_are_separated_one_by_one(make_session, backend_plugin, album, separator):
    class InBatches(separator):
        def batch(self, mixes, task):
            raise AssertionError("not on a CPU")

    plugins = {
        "own": backend_plugin("demix", plain=InBatches),
        "npu": backend_plugin(
            "nn", foreign=True, npu=lambda setup: on_foreign(quick_network(setup))
        ),
    }
    with make_session(plugins=plugins) as session:
        outcomes = list(run_batch(session, make_tracks(album)))
    assert [o.status for o in outcomes] == ["done"] * 6
