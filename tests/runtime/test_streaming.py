"""Long songs in files, separated and transformed in blocks, have the same results as whole ones."""

from __future__ import annotations

import json
import logging
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import AudioError, BackendError
from allin1_core.io.mix import MixFile, MixReader
from allin1_core.reference import network, spectrogram
from allin1_core.runtime import plan, steps, streaming
from allin1_core.runtime.streaming import Work, regrouped
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.conformance import measure
from allin1_core.testing.foreign import on_foreign

ROUNDING = 5e-7


@pytest.fixture(autouse=True)
def blocks_of_a_second(monkeypatch):
    """Songs of three seconds are long, and stems are transformed a second at a time."""
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 3.0)
    monkeypatch.setattr(streaming, "STREAM_FRAMES", FRAMES_PER_SECOND)
    monkeypatch.setattr(streaming, "READ_S", 1.0)


@pytest.fixture
def session(make_session, backend_plugin, separator):
    with make_session(plugins={"mine": backend_plugin("demix", mine=separator)}) as session:
        yield session


def whole(path, separator):
    mix, _ = MixFile(path).read()
    stems = separator(Setup())(mix, Task())
    return spectrogram.create(Setup())(stems, Task())


@pytest.fixture
def given_frames(monkeypatch):
    """Spectrograms that streaming gave."""
    frames, stream = [], streaming.stream

    def kept(*arguments):
        frames.append(stream(*arguments))
        return frames[-1]

    monkeypatch.setattr("allin1_core.runtime.steps.stream", kept)
    return frames


@pytest.mark.parametrize(
    ("name", "rate", "seconds"),
    [
        ("song.wav", 44_100, 7.0),
        ("song.wav", 44_100, 5.00001),
        ("song.flac", 48_000, 6.5),
        ("song.ogg", 22_050, 6.5),
        ("song.mp3", 44_100, 6.5),
    ],
)
def test_a_long_song_gives_what_a_short_one_gives(
    session, write_song, separator, given_frames, name, rate, seconds
):
    path = write_song(name, seconds, rate)
    run = session.run(MixFile(path), outputs=["logits"])
    (frames,) = given_frames
    assert measure(whole(path, separator), frames) < ROUNDING
    assert [r.stages for r in run.records] == [("demix",), ("spectrogram",), ("nn",)]
    (file,) = run.input["files"]
    assert (run.input["kind"], file["sample_rate"]) == ("mix", rate)


def test_a_short_song_is_separated_whole(session, write_song, given_frames):
    run = session.run(MixFile(write_song(seconds=2.9)), outputs=["logits"])
    assert not given_frames
    assert run.records[0].stages == ("demix",)


def test_a_separator_that_cannot_stream_gets_the_whole_song(
    make_session, backend_plugin, separator, write_song, given_frames
):
    plain = backend_plugin(
        "demix", mine=lambda setup: lambda mix, task: separator(setup)(mix, task)
    )
    with make_session(plugins={"mine": plain}) as session:
        session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"])
    assert not given_frames


def test_arrays_of_another_library_cross_by_bridges(
    make_session, backend_plugin, separator, write_song, given_frames
):
    class Foreign(separator):
        def __call__(self, mix, task):
            return on_foreign(super().__call__)(mix, task)

        def stream(self, blocks, task):
            from allin1_core.contracts.arrays import move_arrays
            from allin1_core.testing.foreign import download, upload

            def home():
                for mix in blocks():
                    yield move_arrays(mix, lambda array: download(array, "cpu"))

            for stems in super().stream(home, task):
                yield move_arrays(stems, lambda array: upload(array, "npu"))

    def transform(setup):
        return on_foreign(spectrogram.create(setup))

    plugins = {
        "mine": backend_plugin("demix", foreign=True, mine=Foreign),
        "theirs": backend_plugin("spectrogram", foreign=True, theirs=transform),
    }
    path = write_song(seconds=5.5)
    with make_session(plugins=plugins) as session:
        run = session.run(MixFile(path), outputs=["logits"])
    assert [r.backend for r in run.records[:2]] == ["mine", "theirs"]
    assert measure(whole(path, separator), given_frames[0]) < ROUNDING
    there, back = "numpy/cpu to allin1_core/npu", "allin1_core/npu to numpy/cpu"
    assert [r.copies for r in run.records[:2]] == [(there,), (back, there)]


def test_long_stems_reach_a_network_of_another_library(
    make_session, backend_plugin, write_stems, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "LONG_STEMS_S", 4.0)
    monkeypatch.setattr(steps, "BLOCK_FRAMES", 2 * FRAMES_PER_SECOND)

    def transform(setup):
        return on_foreign(spectrogram.create(setup))

    def run_network(setup):
        return on_foreign(network.create(setup))

    plugins = {
        "theirs": backend_plugin("spectrogram", foreign=True, theirs=transform),
        "net": backend_plugin("nn", foreign=True, net=run_network),
    }
    stems = write_stems(tmp_path / "song", 5.0)
    with make_session(plugins=plugins) as session:
        run = session.run(stems, outputs=["logits"])
    assert [r.backend for r in run.records] == ["theirs", "net"]
    assert run.fallbacks == []
    there, back = "numpy/cpu to allin1_core/npu", "allin1_core/npu to numpy/cpu"
    assert run.records[1].copies == (back, there)


def test_each_stage_has_its_own_time_and_reading_is_nobodys(
    make_session, backend_plugin, separator, write_song, monkeypatch, tmp_path
):
    now = [0.0]
    monkeypatch.setattr(streaming.time, "perf_counter", lambda: now[0])

    class Slow(separator):
        def stream(self, blocks, task):
            for stems in super().stream(blocks, task):
                now[0] += 3.0
                yield stems

    def slow_reading(self):
        for mix in blocks(self):
            now[0] += 100.0
            yield mix

    blocks = MixReader.blocks
    monkeypatch.setattr(MixReader, "blocks", slow_reading)

    def transform(setup):
        call = spectrogram.create(setup)

        def slow(stems, task):
            now[0] += 7.0
            return call(stems, task)

        return slow

    plugins = {
        "mine": backend_plugin("demix", mine=Slow),
        "theirs": backend_plugin("spectrogram", a=transform),
    }
    timings = tmp_path / "timings.jsonl"
    with make_session(plugins=plugins, timings_path=timings) as session:
        run = session.run(MixFile(write_song(seconds=3.5)), outputs=["logits"])
    seconds = {r.stages[0]: r.seconds for r in run.records}
    assert seconds["demix"] == 5 * 3.0  # for four blocks, and the rest
    assert seconds["spectrogram"] == 4 * 7.0
    lines = [json.loads(line) for line in timings.read_text().splitlines()]
    assert {line["stage"]: line["duration"] for line in lines}["demix"] == 15.0


def test_progress_moves_and_names_both_stages(session, write_song):
    told = []
    session.run(
        MixFile(write_song(seconds=4.0)),
        outputs=["logits"],
        progress=lambda stage, fraction: told.append((stage, fraction)),
    )
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert {stage for stage, _ in told} == {"demix", "spectrogram", "nn"}
    assert len({f for stage, f in told if stage == "demix"}) >= 3


@pytest.mark.parametrize("stage", ["demix", "spectrogram"])
def test_what_progress_raises_ends_the_run_at_once_and_blames_nobody(session, write_song, stage):
    def stop(running, fraction):
        if running == stage:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"], progress=stop)
    assert not session.engine.chooser.failures


class Failing:
    """What makes the blocks of a stream fail after some."""

    stream = True

    def __init__(self, factory, after):
        self.factory, self.after = factory, after

    def __call__(self, setup):
        after = self.after

        class Broken(self.factory):
            def stream(self, blocks, task):
                for number, stems in enumerate(super().stream(blocks, task)):
                    if number == after:
                        raise RuntimeError("no more")
                    yield stems

        return Broken(setup)


@pytest.mark.parametrize("after", [0, 2])
def test_a_separator_that_fails_in_the_middle_is_replaced(
    make_session, backend_plugin, separator, write_song, given_frames, caplog, after
):
    plugin = backend_plugin("demix", good=separator, bad=Failing(separator, after))
    path = write_song(seconds=4.0)
    with make_session(plugins={"mine": plugin}) as session, caplog.at_level(logging.WARNING):
        run = session.run(MixFile(path), outputs=["logits"])
        assert list(session.engine.chooser.failures) == [("demix", "bad")]
    assert [r.backend for r in run.records[:2]] == ["good", "reference"]
    assert run.fallbacks == [
        "Backend demix=bad of plugin mine failed and was replaced: RuntimeError: no more"
    ]
    assert measure(whole(path, separator), given_frames[0]) < ROUNDING


@pytest.mark.parametrize("after", [0, 2])
def test_a_spectrogram_that_fails_in_the_middle_is_replaced(
    make_session, backend_plugin, separator, write_song, given_frames, after
):
    def bad(setup):
        call, count = spectrogram.create(setup), iter(range(1000))

        def transform(stems, task):
            if next(count) == after:
                raise RuntimeError("broken")
            return call(stems, task)

        return transform

    plugins = {
        "mine": backend_plugin("demix", mine=separator),
        "theirs": backend_plugin("spectrogram", bad=bad),
    }
    path = write_song(seconds=5.0)
    with make_session(plugins=plugins) as session:
        run = session.run(MixFile(path), outputs=["logits"])
        assert list(session.engine.chooser.failures) == [("spectrogram", "bad")]
    assert [r.backend for r in run.records[:2]] == ["mine", "reference"]
    assert measure(whole(path, separator), given_frames[0]) < ROUNDING


def test_a_named_separator_that_fails_is_not_replaced(
    make_session, backend_plugin, separator, write_song
):
    plugin = backend_plugin("demix", good=separator, bad=Failing(separator, 1))
    with make_session(plugins={"mine": plugin}, backends={"demix": "bad"}) as session:
        with pytest.raises(BackendError, match="demix=bad, failed: RuntimeError"):
            session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda stems: Stems(stems.samples * np.float32(np.nan)), "stems.samples holds nan"),
        (lambda stems: Stems(stems.samples[..., :-1]), "s long; the song has 4.000 s"),
        (lambda stems: Stems(stems.samples[:3]), "has shape"),
    ],
)
def test_stems_that_break_the_contract_are_the_separators_fault(
    make_session, backend_plugin, separator, write_song, change, told
):
    class Broken(separator):
        def stream(self, blocks, task):
            return map(change, super().stream(blocks, task))

    plugin = backend_plugin("demix", good=separator, bad=Broken)
    with make_session(plugins={"mine": plugin}) as session:
        run = session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"])
    assert told in run.fallbacks[0]
    assert run.records[0].backend == "good"


def test_the_guard_checks_the_spectrogram_of_a_stream(
    make_session, backend_plugin, separator, write_song
):
    def wrong(setup):
        call = spectrogram.create(setup)
        return lambda stems, task: LogSpectrogram(call(stems, task).frames + np.float32(0.5))

    plugins = {
        "mine": backend_plugin("demix", mine=separator),
        "theirs": backend_plugin("spectrogram", wrong=wrong),
    }
    with make_session(plugins=plugins, guard=True) as session:
        run = session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"])
    assert "broke its promise" in run.fallbacks[0]
    assert run.records[1].backend == "reference"


def test_a_value_that_is_not_a_number_in_the_middle_is_the_inputs_fault(
    session, write_song, tmp_path
):
    path = write_song(seconds=4.0)
    samples, rate = soundfile.read(path, dtype="float32")
    samples[2 * rate] = np.inf
    soundfile.write(path, samples, rate, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"inf at 2\.000"):
        session.run(MixFile(path), outputs=["logits"])
    assert not session.engine.chooser.failures


def test_a_file_that_was_cut_off_is_analysed_up_to_there_with_a_warning(session, write_song):
    path = write_song("song.flac", 8.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (track,) = make_tracks([path])
    result = session.analyze(track)
    (warning,) = (w for w in result.warnings if "song.flac" in w)
    assert "read up to there" in warning
    assert 2 < result.segments[-1].end < 6


def test_a_song_that_changes_while_it_is_read_is_the_inputs_fault(session, write_song, monkeypatch):
    path = write_song(seconds=4.0)
    blocks, calls = MixReader.blocks, []

    def changing(self):
        calls.append(0)
        if len(calls) == 2:
            write_song(seconds=3.0)
        yield from blocks(self)

    monkeypatch.setattr(MixReader, "blocks", changing)
    with pytest.raises(AudioError, match="changed while it was read"):
        session.run(MixFile(path), outputs=["logits"])
    assert not session.engine.chooser.failures


def test_the_result_names_the_song_and_how_it_was_separated(session, write_song):
    path = write_song(seconds=6.0)
    (track,) = make_tracks([path])
    result = session.analyze(track)
    told = result.provenance
    assert told.input["kind"] == "mix"
    assert told.input["files"][0]["path"] == str(path)
    assert told.input["separation"]["model"] == "htdemucs"
    assert [r.stages[0] for r in told.stages][:3] == ["demix", "spectrogram", "nn"]


def test_neither_mix_nor_stems_are_in_memory_whole(
    make_session, backend_plugin, separator, write_song
):
    # Of a minute the stems are 85 MB, of a second 1.4 MB.
    path = write_song(seconds=60.0, subtype="PCM_16")
    with make_session(plugins={"mine": backend_plugin("demix", mine=separator)}) as session:

        def stop(stage, fraction):
            if stage == "nn":
                raise KeyError("far enough")

        tracemalloc.start()
        try:
            with pytest.raises(KeyError):
                session.run(MixFile(path), outputs=["logits"], progress=stop)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 80e6


def test_stems_of_any_length_become_blocks_of_whole_hops():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((4, 1, 5000)).astype(np.float32)
    for cuts in ([], [1], [441, 882], [440, 441, 4999], [1323], [2000, 4000]):
        pieces = [Stems(part) for part in np.split(samples, cuts, axis=-1)]
        blocks = [block.samples for block in regrouped(iter(pieces), 3)]
        assert [block.shape[-1] for block in blocks] == [1323, 1323, 1323, 1031]
        np.testing.assert_array_equal(np.concatenate(blocks, axis=-1), samples)


def test_work_counts_the_time_of_each_and_blames_the_innermost(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(streaming.time, "perf_counter", lambda: now[0])
    work = Work("nobody")

    def inner():
        now[0] += 2
        yield 1
        now[0] += 4
        raise KeyError("gone")

    def outer():
        for item in work.each("inner", inner()):
            now[0] += 10
            yield item

    with pytest.raises(KeyError, match="gone"):
        list(work.each("outer", outer()))
    assert dict(work.seconds) == {"outer": 10.0, "inner": 6.0}
    assert work.culprit == "inner"


def test_a_mix_in_a_file_is_the_same_start_as_in_memory(session, write_song):
    path = write_song(seconds=2.0)
    mix, _ = MixFile(path).read()
    assert isinstance(mix, Mix)
    by_file = session.run(MixFile(path), outputs=["logits"])
    in_memory = session.run(mix, outputs=["logits"])
    wanted, given = in_memory.products.logits, by_file.products.logits
    assert measure(wanted, given) == 0


@pytest.mark.parametrize(
    ("length", "stages", "streamed"),
    [
        (3.0, [("demix",), ("spectrogram",), ("nn",)], True),
        (None, [("demix",), ("spectrogram",)], True),
        (2.99, [("demix",), ("spectrogram",)], False),
        (99.0, [("demix",)], False),
        (99.0, [("demix", "spectrogram"), ("nn",)], False),
        (99.0, [("demix",), ("spectrogram", "nn")], False),
        (99.0, [("spectrogram",), ("nn",)], False),
    ],
)
def test_what_is_streamed(monkeypatch, length, stages, streamed):
    monkeypatch.setattr(MixFile, "duration_s", length)
    steps = [SimpleNamespace(backend=SimpleNamespace(stages=each, streams=True)) for each in stages]
    assert plan.is_streamed(MixFile(Path("song.wav")), steps) is streamed
    assert not plan.is_streamed(Mix(np.zeros((2, 10), np.float32)), steps)
