"""Batches: a failure affects one song only, and finished results are kept."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
import soundfile

import allin1_core as allin1
from allin1_core import api
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.speed import Speed
from allin1_core.errors import BatchError, InputError, StemsError, WeightsError
from allin1_core.reference import metrical_dbn, network
from allin1_core.runtime import batch, reading
from allin1_core.runtime.analysis import Analysis
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign


@pytest.fixture
def album(tmp_path, write_stems):
    """Three songs with stems; the second one's bass holds a NaN."""
    folder = tmp_path / "separated"
    for seed, name in enumerate(("b", "bad", "a")):
        write_stems(folder / name, 3.0, seed)
    bass = folder / "bad" / "bass.wav"
    samples, rate = soundfile.read(bass, dtype="float32")
    samples[44_100] = np.nan
    soundfile.write(bass, samples, rate, subtype="FLOAT")
    return folder


@pytest.fixture
def use_session(make_session, monkeypatch):
    """Let ``allin1.analyze`` run on the random model and the core's own plugins."""
    monkeypatch.setattr(api, "Session", lambda model, **options: make_session())


def songs(album):
    return [empty_file(album.parent / f"{name}.mp3") for name in ("b", "bad", "a")]


def empty_file(path):
    """What is not looked into, as there are stems."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def test_a_bad_track_affects_nothing_else_and_the_order_is_kept(make_session, album, tmp_path):
    out = tmp_path / "out"
    tracks = make_tracks(songs(album), [album])
    with make_session() as session:
        outcomes = list(run_batch(session, tracks, out_dir=out))
    assert [o.track.name for o in outcomes] == ["b", "bad", "a"]
    assert [o.error is None for o in outcomes] == [True, False, True]
    assert "bass.wav" in str(outcomes[1].error)
    assert "1.000" in str(outcomes[1].error)
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json"]
    assert json.loads((out / "a.json").read_text())["path"] == str(songs(album)[2])


def test_each_result_is_on_the_disk_before_the_next_track_begins(make_session, album, tmp_path):
    out = tmp_path / "out"
    with make_session() as session:
        batch = run_batch(session, make_tracks(songs(album), [album]), out_dir=out)
        first = next(batch)
        assert first.written == out / "b.json"
        assert allin1.load_result(first.written).beats == first.result.beats
        batch.close()
    assert [path.name for path in out.iterdir()] == ["b.json"]


def test_ctrl_c_leaves_what_is_finished_and_nothing_half_written(make_session, album, tmp_path):
    out = tmp_path / "out"

    def interrupt(index, stage, fraction):
        if index == 2 and stage == "nn":
            raise KeyboardInterrupt

    tracks = make_tracks(songs(album), [album])
    with make_session() as session, pytest.raises(KeyboardInterrupt):
        list(run_batch(session, tracks, out_dir=out, progress=interrupt))
    assert [path.name for path in out.iterdir()] == ["b.json"]


def test_a_result_of_another_input_is_kept_unless_overwriting_is_requested(
    make_session, album, tmp_path, write_stems
):
    out = tmp_path / "out"
    one = make_tracks([empty_file(album.parent / "x" / "b.mp3")], [album])
    write_stems(tmp_path / "others" / "b", 3.0, 7)
    other = make_tracks([empty_file(album.parent / "y" / "b.mp3")], [tmp_path / "others"])
    with make_session() as session:
        assert next(iter(run_batch(session, one, out_dir=out))).error is None
        before = (out / "b.json").read_bytes()
        (outcome,) = run_batch(session, other, out_dir=out)
        assert "another input" in str(outcome.error)
        assert (out / "b.json").read_bytes() == before
        (outcome,) = run_batch(session, other, out_dir=out, overwrite=True)
        assert outcome.error is None
        assert (out / "b.json").read_bytes() != before


def test_one_song_gives_a_result_and_a_sequence_gives_a_list(use_session, album):
    one = allin1.analyze(songs(album)[0], stems_dir=album)
    assert isinstance(one, allin1.AnalysisResult)
    several = allin1.analyze([songs(album)[2], songs(album)[0]], stems_dir=album)
    assert [result.path.stem for result in several] == ["a", "b"]
    assert several[1].beats == one.beats
    assert [r.path.stem for r in allin1.analyze([songs(album)[0]], stems_dir=album)] == ["b"]
    assert allin1.analyze([]) == []


def test_a_batch_that_failed_in_part_gives_what_it_has(use_session, album, tmp_path):
    with pytest.raises(BatchError, match="1 of 3 tracks failed") as caught:
        allin1.analyze(songs(album), tmp_path / "out", stems_dir=album)
    results = caught.value.results
    assert [result is None for result in results] == [False, True, False]
    assert list(caught.value.errors) == [str(songs(album)[1])]


def test_one_song_that_fails_raises_its_own_error(use_session, tmp_path):
    with pytest.raises(StemsError, match="does not exist"):
        allin1.analyze(stems_dir=tmp_path / "nowhere")


def test_nothing_to_analyse_and_incomplete_stems_are_refused(use_session):
    with pytest.raises(InputError, match="Nothing to analyse"):
        allin1.analyze()
    with pytest.raises(InputError, match="bass, drums, other, vocals"):
        allin1.analyze(stems={"bass": "b.wav"})


def test_four_files_may_be_named_by_stem(use_session, album):
    files = {name: album / "a" / f"{name}.wav" for name in ("bass", "drums", "other", "vocals")}
    assert allin1.analyze(stems=files).beats == allin1.analyze(stems_dir=album / "a").beats


@pytest.fixture
def accelerated(make_plugin, monkeypatch):
    """A plugin whose network runs on a device of its own, and a decoder that waits to be let go on."""
    threads: dict[str, set[str]] = {"nn": set(), "metrical_dbn": set()}
    begun: list[int] = []
    second_begun = threading.Event()
    waited: list[bool] = []

    def create_nn(setup):
        call = on_foreign(network.create(setup))

        def run(data, task):
            begun.append(1)
            threads["nn"].add(threading.current_thread().name)
            if len(begun) == 2:
                second_begun.set()
            return call(data, task)

        return run

    def create_decoder(setup):
        call = metrical_dbn.create(setup)

        def run(data, task):
            threads["metrical_dbn"].add(threading.current_thread().name)
            if not waited:
                waited.append(second_begun.wait(60))
            return call(data, task)

        return run

    module = ModuleType("accelerated_backends")
    module.create_nn, module.create_decoder = create_nn, create_decoder
    monkeypatch.setitem(sys.modules, module.__name__, module)
    speed = (Speed("npu", 0.0, 1e-9, "a test"), Speed("cpu", 0.0, 1e-9, "a test"))
    nn = Backend(
        name="npu",
        stage="nn",
        target=f"{module.__name__}:create_nn",
        consumes=FOREIGN,
        produces=FOREIGN,
        speed=speed,
    )
    decoder = Backend(
        name="mine", stage="metrical_dbn", target=f"{module.__name__}:create_decoder", speed=speed
    )
    plugin = make_plugin(
        allin1_nn=lambda: [nn],
        allin1_metrical_dbn=lambda: [decoder],
        allin1_bridges=lambda: BRIDGES,
    )
    return plugin, threads, waited


def test_next_to_an_accelerator_a_song_is_decoded_while_the_next_one_is_in_the_network(
    make_session, album, accelerated, tmp_path
):
    plugin, threads, waited = accelerated
    tracks = make_tracks([songs(album)[i] for i in (0, 2, 1)], [album])
    with make_session() as session:
        alone = list(run_batch(session, tracks))
    with make_session(plugins={"npu": plugin}) as session:
        outcomes = list(run_batch(session, tracks, out_dir=tmp_path / "out"))
    assert waited == [True], "the decoder of the first did not see the network of the second begin"
    assert threads["nn"] == {threading.current_thread().name}
    assert threads["nn"].isdisjoint(threads["metrical_dbn"])
    assert [o.track.name for o in outcomes] == ["b", "a", "bad"]
    assert [o.error is None for o in outcomes] == [True, True, False]
    for outcome, expected in zip(outcomes, alone, strict=True):
        if expected.result is not None:
            assert outcome.result.beats == expected.result.beats
            assert outcome.result.segments == expected.result.segments
            copies = {r.stages[0]: r.copies for r in outcome.result.provenance.stages}
            assert copies["nn"] == ("numpy/cpu to allin1_core/npu",)
            assert outcome.written.is_file()


def test_a_callers_exception_ends_what_runs_next_to_an_accelerator(
    make_session, album, accelerated, tmp_path
):
    plugin, _, _ = accelerated
    tracks = make_tracks([songs(album)[i] for i in (0, 2, 2)], [album])

    def stop(index, running, fraction):
        if (index, running) == (0, "metrical_dbn"):
            raise InputError("This is the caller's.")

    with make_session(plugins={"npu": plugin}) as session:
        with pytest.raises(InputError, match="the caller's"):
            list(run_batch(session, tracks, out_dir=tmp_path / "out", progress=stop))
        assert session.engine.chooser.failures == {}
    assert not [t for t in threading.enumerate() if t.name.startswith("allin1-finish")]
    assert not list(tmp_path.glob("out/a.json"))


def test_a_decoder_that_fails_next_to_an_accelerator_costs_no_other_song(
    make_session, album, accelerated, monkeypatch
):
    plugin, _, _ = accelerated
    module = sys.modules["accelerated_backends"]
    monkeypatch.setattr(module, "create_decoder", lambda setup: lambda data, task: 1 / 0)
    tracks = make_tracks(songs(album), [album])
    with make_session(plugins={"npu": plugin}) as session:
        outcomes = list(run_batch(session, tracks))
    assert [o.error is None for o in outcomes] == [True, False, True]
    assert "metrical_dbn=mine" in outcomes[0].result.provenance.fallbacks[0]
    decoders = [o.result.provenance.stages[-1].backend for o in outcomes if o.result]
    assert decoders == ["reference", "reference"]


def test_the_next_songs_are_read_while_one_is_computed(make_session, album, monkeypatch):
    read = reading.read_stems
    readers = []

    def watched(files):
        readers.append((files.name, threading.current_thread() is threading.main_thread()))
        return read(files)

    monkeypatch.setattr(reading, "read_stems", watched)
    with make_session() as session:
        list(run_batch(session, make_tracks(songs(album), [album])))
    assert sorted(readers) == [("a", False), ("b", True), ("bad", False)]


def test_the_seconds_of_a_song_are_its_own_and_not_those_in_which_it_waited(
    make_session, album, monkeypatch
):
    class AtOnce(ThreadPoolExecutor):
        """Reads ahead before the computation goes on."""

        def submit(self, function, /, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

    clock = {"now": 0.0}
    steps = {
        ("read", "b"): 1.0,
        ("begin", "b"): 1000.0,
        ("finish", "b"): 10.0,
        ("read", "bad"): 2.0,
        ("read", "a"): 3.0,
        ("begin", "a"): 2000.0,
        ("finish", "a"): 20.0,
    }

    def taking_its_time(name):
        step = getattr(Analysis, name)

        def run(self, *arguments):
            clock["now"] += steps[name, self.track.name]
            return step(self, *arguments)

        return run

    for name in ("read", "begin", "finish"):
        monkeypatch.setattr(Analysis, name, taking_its_time(name))
    monkeypatch.setattr(batch, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(batch.time, "perf_counter", lambda: clock["now"])
    with make_session() as session:
        outcomes = list(run_batch(session, make_tracks(songs(album), [album])))
    assert {o.track.name: o.seconds for o in outcomes} == {"b": 1011.0, "bad": 2.0, "a": 2023.0}


def test_missing_weights_end_the_batch(make_session, album, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    with make_session(weights_dir=None) as session:
        with pytest.raises(WeightsError):
            list(run_batch(session, make_tracks(songs(album), [album])))


def test_a_backend_that_takes_long_to_set_up_is_worth_it_for_many_songs(
    make_session, make_plugin, album
):
    module = "allin1_core.reference.network"
    quick = Backend(name="quick", stage="nn", target=f"{module}:create")
    slow = dataclasses.replace(
        quick, name="slow", speed=(Speed("cpu", 0.0, 1e-3, "a test", members=1),)
    )
    quick = dataclasses.replace(quick, speed=(Speed("cpu", 5e-3, 1e-5, "a test", members=1),))
    plugin = make_plugin(allin1_nn=lambda: [quick, slow])
    tracks = make_tracks([songs(album)[i] for i in (0, 2)], [album])
    with make_session(plugins={"two": plugin}) as session:
        (one,) = run_batch(session, tracks[:1])
        assert one.result.provenance.stages[1].backend == "slow"
    with make_session(plugins={"two": plugin}) as session:
        for each in run_batch(session, [*tracks, *tracks]):
            assert each.result.provenance.stages[1].backend == "quick"


def test_a_song_without_beats_is_reported(make_session, stems):
    (track,) = make_tracks(stems_dirs=[stems.source])
    for threshold, told in ((1.0, ["No beats were found."]), (0.0, [])):
        with make_session(metre=MetreParameters(threshold=threshold)) as session:
            result = session.analyze(track)
        assert [text for text in result.warnings if "beats" in text] == told
        assert bool(result.beats) != bool(told)
        # Nobody looked for beats.
        with make_session(metre=MetreParameters(threshold=threshold)) as session:
            assert session.analyze(track, only="sections").warnings == []
