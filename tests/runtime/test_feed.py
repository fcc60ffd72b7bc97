"""A batch whose tracks come while it runs requests each when there is time for it, and never waits for one needlessly."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from allin1_core.reference import network
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.feed import EndOfTracks, Feed
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import on_foreign

CLAIM = """
import pathlib, sys
from allin1_core.io.claims import try_claim
claim = try_claim(pathlib.Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


class Provided(Feed):
    """A feed, and the number of its requests."""

    def __init__(self, most: int = 5) -> None:
        super().__init__(self._count_request, most)
        self.requests = 0
        self.has_three = threading.Event()
        self._counting = threading.Lock()

    def _count_request(self) -> None:
        with self._counting:
            self.requests += 1
        if self.requests == 3:
            self.has_three.set()


@pytest.fixture
def feed():
    """A feed that ends after a minute, so that no test waits for ever."""
    provided = Provided()
    timer = threading.Timer(60, provided.end)
    timer.start()
    yield provided
    timer.cancel()


@pytest.fixture
def tracks(tmp_path, write_stems):
    folders = [tmp_path / name for name in "abcde"]
    for seed, folder in enumerate(folders):
        write_stems(folder, 1.0, seed)
    return make_tracks((), folders)


@pytest.fixture
def open_session(make_session, backend_plugin, monkeypatch):
    """Make a session whose network is on an accelerator and, for the first track, calls a function."""
    monkeypatch.setattr("allin1_core.runtime.reading_ahead.usable_cpus", lambda: 8)

    def make(first=lambda: None):
        steps = [first]

        def create(setup):
            call = on_foreign(network.create(setup))

            def run(data, task):
                while steps:
                    steps.pop()()
                return call(data, task)

            return run

        return make_session(plugins={"npu": backend_plugin("nn", foreign=True, npu=create)})

    return make


def test_tracks_are_handed_out_once_and_in_order_until_the_end(feed, tracks):
    for track in tracks[:2]:
        feed.put(track)
    feed.end()
    assert [feed[0], feed[1]] == tracks[:2]
    assert feed.requests == 1  # the first comes without one
    with pytest.raises(EndOfTracks):
        feed[2]
    assert feed.count == 2
    assert len(feed) == 5


def test_on_the_cpu_a_track_is_requested_when_the_one_before_is_finished(
    make_session, feed, tracks
):
    feed.put(tracks[0])
    names = []
    with make_session() as session:
        for number, outcome in enumerate(run_batch(session, feed)):
            names.append(outcome.track.name)
            assert feed.requests == number
            if number < 2:
                feed.put(tracks[number + 1])
            else:
                feed.end()
    assert names == ["a", "b", "c"]
    assert feed.requests == 3


def test_while_an_accelerator_computes_several_tracks_are_requested(open_session, feed, tracks):
    waited = []
    feed.put(tracks[0])
    with open_session(lambda: waited.append(feed.has_three.wait(60))) as session:
        batch = run_batch(session, feed)
        assert next(batch).status == "done"
        for track in tracks[1:]:
            feed.put(track)
        assert [outcome.status for outcome in batch] == ["done"] * 4
    assert waited == [True]
    assert feed.requests == 4  # no more than there may be


def test_no_outcome_waits_for_a_track_that_has_been_requested(open_session, feed, tracks):
    feed.put(tracks[0])
    names = []
    with open_session() as session:
        for outcome in run_batch(session, feed):
            names.append(outcome.track.name)
            if len(names) < 3:
                feed.put(tracks[len(names)])
            else:
                feed.end()
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_batch_that_is_given_up_waits_for_no_track(open_session, feed, tracks, error):
    def interrupt():
        assert feed.has_three.wait(60)
        if error is not None:
            raise error

    feed.put(tracks[0])
    with open_session(interrupt) as session:
        batch = run_batch(session, feed)
        if error is None:
            next(batch)
            batch.close()
        else:
            with pytest.raises(error):
                next(batch)
    assert not [t for t in threading.enumerate() if t.name.startswith("allin1-read")]


@pytest.fixture
def other(tmp_path):
    """Another process that has claimed the result of the first track; killed after a minute."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path / "out" / "a.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        timer = threading.Timer(60, process.kill)
        timer.start()
        yield process
        timer.cancel()
        process.kill()


def test_a_released_track_is_analysed_while_another_is_awaited(
    open_session, feed, tracks, tmp_path, other
):
    claimed, first, last = tracks[:3]

    def progress(index, stage, fraction):
        if index == 1 and feed.count == 2:  # the one that was claimed
            feed.put(last)
            feed.end()

    feed.put(first)
    with open_session() as session:
        batch = run_batch(session, feed, out_dir=tmp_path / "out", progress=progress)
        outcomes = [next(batch)]
        feed.put(claimed)
        timer = threading.Timer(0.5, other.kill)
        timer.start()
        outcomes += batch
    timer.join()
    assert [(o.track.name, o.status) for o in outcomes] == [(name, "done") for name in "bac"]


def test_on_the_cpu_no_track_is_requested_while_one_is_claimed_by_another_process(
    make_session, feed, tracks, tmp_path, other, monkeypatch
):
    requests = []

    def look(_):
        requests.append(feed.requests)
        other.kill()
        other.wait()

    monkeypatch.setattr("allin1_core.runtime.batch.time.sleep", look)
    feed.put(tracks[0])
    with make_session() as session:
        batch = run_batch(session, feed, out_dir=tmp_path / "out")
        assert next(batch).status == "done"
        feed.end()
        assert list(batch) == []
    assert set(requests) == {0}
