"""A track that is out of memory fails or uses a fallback, and no backend is excluded for later tracks."""

from __future__ import annotations

import logging

import pytest

from allin1_core.errors import BackendError, SelectionError, is_out_of_memory
from allin1_core.io.mix import MixFile
from allin1_core.reference import network
from allin1_core.runtime import reading, streaming
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.conformance import measure


class OutOfMemoryError(RuntimeError):
    """As PyTorch names its own."""


ERRORS = [
    MemoryError("600 GB"),
    OutOfMemoryError("CUDA"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB"),
    RuntimeError("[metal::malloc] Unable to allocate 9 bytes."),
]


def too_small_for(longest, error):
    """The network, which fails on more than so many frames; and what it was given."""
    whole = network.create

    def create(setup):
        call = whole(setup)

        def run(data, task):
            given.append(data.frames.shape[1])
            if data.frames.shape[1] > longest:
                raise error
            return call(data, task)

        return run

    given = []
    return create, given


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_next_backend_takes_this_track_and_the_next_track_has_the_first_again(
    make_session, backend_plugin, write_stems, tmp_path, caplog, error
):
    short, long = write_stems(tmp_path / "short", 2.0), write_stems(tmp_path / "long", 4.0)
    create, given = too_small_for(300, error)
    with make_session() as session:
        wanted = session.run(long).products
    with make_session(plugins={"mine": backend_plugin("nn", mine=create)}) as session:
        with caplog.at_level(logging.WARNING):
            runs = [session.run(stems) for stems in (long, short, long)]
        assert not session.engine.chooser.failures
    assert given == [400, 200, 400]
    used = [record.backend for run in runs for record in run.records if record.stages == ("nn",)]
    assert used == ["reference", "mine", "reference"]
    assert [len(run.fallbacks) for run in runs] == [1, 0, 1]
    assert "nn=mine of plugin mine failed and was replaced" in caplog.text
    assert measure(wanted.metre, runs[0].products.metre) == 0


def test_a_track_too_large_for_every_backend_fails_alone(
    make_session, write_stems, tmp_path, monkeypatch
):
    folders = [
        write_stems(tmp_path / name, seconds).source
        for name, seconds in (("long", 4.0), ("short", 2.0))
    ]
    create, _ = too_small_for(300, MemoryError("600 GB"))
    monkeypatch.setattr("allin1_core.reference.network.create", create)
    with make_session() as session:
        first, second = run_batch(session, make_tracks(stems_dirs=folders))
    assert isinstance(first.error, SelectionError)
    assert "It ran out of memory on this track: MemoryError: 600 GB" in str(first.error)
    assert second.error is None
    assert second.result.beats


def test_memory_that_runs_out_while_files_are_read_fails_that_track(
    make_session, write_stems, tmp_path, monkeypatch
):
    folders = [write_stems(tmp_path / name, 2.0).source for name in ("a", "b")]
    read = reading.read_stems

    def full(files):
        if files.name == "a":
            raise MemoryError
        return read(files)

    monkeypatch.setattr(reading, "read_stems", full)
    with make_session() as session:
        first, second = run_batch(session, make_tracks(stems_dirs=folders))
    assert isinstance(first.error, BackendError)
    assert "not enough memory for this track" in str(first.error)
    assert str(folders[0]) in str(first.error)
    assert second.error is None


def test_memory_that_runs_out_while_a_long_song_is_read_whole_is_no_separators_fault(
    make_session, backend_plugin, separator, write_song, monkeypatch
):
    def full(file):
        tried.append(file)
        raise MemoryError

    def whole(setup):
        return lambda mix, task: separator(setup)(mix, task)

    tried = []
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
    monkeypatch.setattr(MixFile, "read", full)
    plugin = backend_plugin("demix", one=whole, two=whole)
    with make_session(plugins={"mine": plugin}) as session:
        (outcome,) = run_batch(session, make_tracks([write_song(seconds=2.0)]))
    assert "not enough memory for this track" in str(outcome.error)
    assert len(tried) == 1


def test_what_a_failure_was_raised_from_counts():
    error = BackendError("Moving arrays failed")
    assert not is_out_of_memory(error)
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("kernel"))
    assert not is_out_of_memory(ValueError("out of memory"))
