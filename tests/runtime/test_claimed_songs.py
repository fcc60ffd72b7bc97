"""Songs that another process has claimed are left to it; others are analysed in the meantime, in order."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from allin1_core.io import claims, leftovers
from allin1_core.io.results import load_result
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks

OTHER = """
import pathlib, sys
from allin1_core.io.claims import try_claim
claim = try_claim(pathlib.Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Claim the result of the first song in another process; killed after a minute, so that no test waits for ever."""
    target = str(tmp_path / "out" / "s0.json")
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        timer = threading.Timer(60, process.kill)
        timer.start()
        yield process
        timer.cancel()
        process.kill()


@pytest.fixture
def tracks(tmp_path):
    paths = [tmp_path / f"s{number}.wav" for number in range(4)]
    for seed, path in enumerate(paths):
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, (44100, 2)), 44100)
    return make_tracks(paths)


def test_a_song_that_another_process_has_claimed_is_left_until_that_has_ended(
    make_session, tracks, tmp_path, other
):
    begun = []

    def tell(index, stage, fraction):
        if index not in begun:
            begun.append(index)
        if index == 2:
            other.kill()

    with make_session(card={"takes": "mix"}) as session:
        outcomes = list(run_batch(session, tracks, out_dir=tmp_path / "out", progress=tell))
    assert [outcome.track for outcome in outcomes] == tracks
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert begun[:2] == [1, 2]
    assert sorted(begun) == [0, 1, 2, 3]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"s{n}.json" for n in range(4)}


def test_what_another_process_has_written_in_the_meantime_is_not_computed_again(
    make_session, tracks, tmp_path, other
):
    out = tmp_path / "out"

    def tell(index, stage, fraction):
        if index == 3 and other.poll() is None:
            # What it would have made.
            with make_session(card={"takes": "mix"}) as session:
                session.analyze(tracks[0])
                (outcome,) = run_batch(session, tracks[:1], out_dir=tmp_path / "elsewhere")
            outcome.written.rename(out / "s0.json")
            other.kill()
            other.wait()

    with make_session(card={"takes": "mix"}) as session:
        outcomes = list(run_batch(session, tracks, out_dir=out, progress=tell))
    assert [outcome.status for outcome in outcomes] == ["skipped", "done", "done", "done"]
    assert load_result(out / "s0.json").path == tracks[0].source


def test_where_nothing_can_be_claimed_every_song_is_analysed_at_once(
    make_session, tracks, tmp_path, other, monkeypatch
):
    monkeypatch.setattr(claims, "fcntl", None)
    monkeypatch.setattr(claims, "msvcrt", None)
    monkeypatch.setattr(leftovers, "fcntl", None)
    with make_session(card={"takes": "mix"}) as session:
        outcomes = list(run_batch(session, tracks, out_dir=tmp_path / "out"))
        again = list(run_batch(session, tracks, out_dir=tmp_path / "out"))
    assert other.poll() is None
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert {outcome.status for outcome in again} == {"skipped"}
    written = {path.name for path in (tmp_path / "out").glob("*.json")}
    assert written == {f"s{n}.json" for n in range(4)}


def test_too_many_outcomes_do_not_wait_behind_one(
    make_session, tracks, tmp_path, other, monkeypatch
):
    monkeypatch.setattr("allin1_core.runtime.batch._MOST_WAITING", 1)
    begun = set()

    def look(_):
        assert begun == {1, 2}  # the one that waits, and the one that was read ahead
        other.kill()
        other.wait()

    monkeypatch.setattr("allin1_core.runtime.batch.time.sleep", look)
    with make_session(card={"takes": "mix"}) as session:
        batch = run_batch(
            session, tracks, out_dir=tmp_path / "out", progress=lambda i, *_: begun.add(i)
        )
        assert [outcome.track for outcome in batch] == tracks
