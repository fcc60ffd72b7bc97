"""Processes that read files for a batch on an accelerator: same audio and errors, and no song is lost by one that dies."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.errors import AudioError, StemsError
from allin1_core.io.decoding.loaders import Loader, use_loaders
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime import batch, reading_processes
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.reading import read_whole
from allin1_core.runtime.reading_processes import ReadingProcesses
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import download, upload

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "memfd_create") and hasattr(socket, "send_fds")),
    reason="only Linux has memory without a name that processes can share",
)


@pytest.fixture
def processes():
    made = ReadingProcesses()
    made.use()
    yield made
    made.stop()


def process_ids(processes):
    return [each._process.pid for each in processes._all]


def address(mix):
    return mix.samples.__array_interface__["data"][0]


def test_a_process_reads_the_same_as_a_thread(processes, write_song, stems):
    for file in (MixFile(write_song("song.wav", 1.5)), stems):
        record, files = processes.reading()(file)
        wanted, wanted_files = read_whole(file)
        assert type(record) is type(wanted)
        np.testing.assert_array_equal(record.samples, wanted.samples)
        assert files == wanted_files
    assert len(process_ids(processes)) == 1


def test_cpu_time_of_the_process_counts(processes, write_song):
    reading = processes.reading()
    reading(MixFile(write_song("song.wav", 1.5)))
    assert reading.cpu_s > 0


def test_memory_is_used_again_once_its_samples_are_not_needed(processes, write_song):
    first, second = MixFile(write_song("1.wav", 1.0, seed=1)), MixFile(write_song("2.wav", 2.0))
    kept, _ = processes.reading()(first)
    other, _ = processes.reading()(second)
    assert address(kept) != address(other)
    np.testing.assert_array_equal(kept.samples, read_whole(first)[0].samples)
    place, part = address(kept), kept.samples[0, 100:]
    del kept
    again, _ = processes.reading()(second)
    assert address(again) != place, "a part of its samples is still needed"
    np.testing.assert_array_equal(part, read_whole(first)[0].samples[0, 100:])
    del part
    again, _ = processes.reading()(second)
    assert address(again) == place
    np.testing.assert_array_equal(again.samples, read_whole(second)[0].samples)


def test_memory_that_is_too_small_is_replaced(processes, write_song, monkeypatch):
    short, long = MixFile(write_song("1.wav", 1.0)), MixFile(write_song("2.wav", 30.0))
    processes.reading()(short)
    record, _ = processes.reading()(long)
    np.testing.assert_array_equal(record.samples, read_whole(long)[0].samples)
    (process,) = processes._all
    assert len(process._memories) == 1


def test_samples_remain_when_the_processes_have_stopped(processes, write_song):
    file = MixFile(write_song("song.wav", 1.0))
    record, _ = processes.reading()(file)
    processes.stop()
    np.testing.assert_array_equal(record.samples, read_whole(file)[0].samples)


@pytest.mark.parametrize("content", [b"", b"no audio" * 100])
def test_errors_are_the_same_and_the_process_goes_on(processes, write_song, tmp_path, content):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError) as wanted:
        read_whole(MixFile(path))
    with pytest.raises(AudioError) as found:
        processes.reading()(MixFile(path))
    assert str(found.value) == str(wanted.value)
    processes.reading()(MixFile(write_song("song.wav", 1.0)))
    assert len(process_ids(processes)) == 1


def test_stems_that_do_not_match_are_an_error_of_stems(processes, stems):
    samples, rate = soundfile.read(stems.bass)
    soundfile.write(stems.bass, samples[:1000], rate)
    with pytest.raises(StemsError):
        processes.reading()(StemFiles(stems.bass, stems.drums, stems.other, stems.vocals))


def test_a_process_that_dies_costs_one_file(processes, write_song):
    file = MixFile(write_song("song.wav", 1.0))
    processes.reading()(file)
    os.kill(process_ids(processes)[0], signal.SIGKILL)
    with pytest.raises(AudioError, match=r"song.wav: cannot be read: the process .* SIGKILL"):
        processes.reading()(file)
    assert process_ids(processes) == []
    processes.reading()(file)


def test_stopping_ends_a_process_that_reads(processes, tmp_path, write_song):
    processes.reading()(MixFile(write_song("song.wav", 1.0)))
    endless = tmp_path / "endless.wav"
    os.mkfifo(endless)
    raised = []

    def read():
        try:
            processes.reading()(MixFile(endless))
        except AudioError as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    (pid,) = process_ids(processes)
    processes.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert raised
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_thread_reads_if_no_process_can_be_started(write_song, monkeypatch, tmp_path):
    file = MixFile(write_song("song.wav", 1.0))
    other = tmp_path / "python-of-another-kind"
    other.symlink_to("/bin/true")
    for executable in ("/nowhere/python", str(other)):
        monkeypatch.setattr(sys, "executable", executable)
        processes = ReadingProcesses()
        processes.use()
        for _ in range(2):
            record, _ = processes.reading()(file)
            np.testing.assert_array_equal(record.samples, read_whole(file)[0].samples)
        assert process_ids(processes) == []
        processes.stop()


@pytest.mark.parametrize("executable", ["/usr/bin/a-program-with-python", "", None])
def test_a_program_that_embeds_python_is_not_started(write_song, monkeypatch, started, executable):
    monkeypatch.setattr(sys, "executable", executable)
    processes = ReadingProcesses()
    processes.use()
    processes.reading()(MixFile(write_song("song.wav", 1.0)))
    assert started == []


def test_the_thread_reads_what_a_plugin_may_read(processes, write_song):
    path = write_song("song.wav", 1.0)
    calls = []

    def load(file, path):
        calls.append(path)

    loader = AudioLoader(name="toy", target="nowhere:load", suffixes=(".wav",), before_core=True)
    try:
        use_loaders([Loader("plugin", loader.name, "1", load, loader.suffixes, None, True)])
        processes.reading()(MixFile(path))
    finally:
        use_loaders([])
    assert calls == [path]
    assert process_ids(processes) == []


@pytest.fixture
def run(make_session, backend_plugin, separator):
    """Analyse songs, with a separator on a fictitious device."""

    def analyse(paths):
        def on_device(setup):
            split = separator(setup)

            def call(mix, task):
                moved = Mix(download(mix.samples, "cpu"))
                return Stems(upload(split(moved, task).samples, "npu"))

            return call

        plugin = backend_plugin("demix", foreign=True, npu=on_device)
        with make_session(plugins={"npu": plugin}) as session:
            return list(run_batch(session, make_tracks(paths)))

    return analyse


@pytest.fixture
def read_here(monkeypatch):
    """Names of the songs that this process reads."""
    names = []
    read = MixFile.read

    def noted(file):
        names.append(file.path.name)
        return read(file)

    monkeypatch.setattr(MixFile, "read", noted)
    return names


def test_a_batch_on_a_device_reads_in_processes_with_the_same_results(
    run, write_song, tmp_path, read_here, monkeypatch
):
    paths = [write_song(f"{number}.wav", 1.0, seed=number) for number in range(6)]
    paths[2].write_bytes(b"broken")
    outcomes = run(paths)
    assert set(read_here) <= {"0.wav", "1.wav"}  # those before a device was chosen
    assert [o.status for o in outcomes] == ["done", "done", "failed", "done", "done", "done"]
    monkeypatch.setattr(batch, "FEWEST_FOR_PROCESSES", math.inf)
    read_here.clear()
    again = run(paths)
    assert sorted(read_here) == ["0.wav", "1.wav", "3.wav", "4.wav", "5.wav"]
    for one, other in zip(outcomes, again, strict=True):
        assert str(one.error) == str(other.error)
        if one.result is not None:
            assert one.result.segments == other.result.segments
            assert one.result.beats == other.result.beats
            assert one.result.provenance.input == other.result.provenance.input


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    made = []
    process = reading_processes._Process

    def noted():
        made.append(process())
        return made[-1]

    monkeypatch.setattr(reading_processes, "_Process", noted)
    return made


def test_a_batch_leaves_no_process(run, write_song, started):
    run([write_song(f"{number}.wav", 1.0) for number in range(4)])
    assert started
    assert all(each._process.returncode is not None for each in started)


def test_a_few_songs_need_no_process(run, write_song, started):
    run([write_song(f"{number}.wav", 1.0) for number in range(3)])
    assert started == []


def test_a_batch_on_a_cpu_needs_no_process(make_session, write_stems, tmp_path, started):
    for number in range(4):
        write_stems(tmp_path / "stems" / f"{number}", 1.0)
    songs = [tmp_path / f"{number}.mp3" for number in range(4)]
    for song in songs:
        song.touch()
    with make_session() as session:
        outcomes = list(run_batch(session, make_tracks(songs, [tmp_path / "stems"])))
    assert [o.status for o in outcomes] == ["done"] * 4
    assert started == []
