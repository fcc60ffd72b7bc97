"""Progress: how long the rest takes, and a bar that leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from allin1_core.cli.progress import Progress
from allin1_core.runtime.track import make_tracks


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock):
    clock.now = 100.0
    return Progress(make_tracks([Path(f"s{number}.wav") for number in range(4)]), clock)


def test_the_rest_takes_as_long_as_what_was_computed(progress, clock):
    assert progress.left_s is None
    progress(0, "demix", 0.0)
    clock.now += 10
    progress(0, "demix", 0.25)
    assert progress.left_s == pytest.approx(3.75 * 40)
    clock.now += 30
    progress(0, "nn", 0.98)
    progress.next_is_given()
    assert progress.left_s == pytest.approx(3 * 40)
    progress(1, "demix", 0.0)
    clock.now += 20
    progress(1, "demix", 0.5)
    assert progress.left_s == pytest.approx(2.5 * 40)


def test_what_is_up_to_date_or_fails_does_not_count_as_computed(progress, clock):
    progress.next_is_given()  # up to date
    progress(1, "demix", 0.0)
    clock.now += 10
    progress(1, "demix", 0.25)
    assert progress.left_s == pytest.approx(2.75 * 40)
    progress.next_is_given()  # it failed there
    assert progress.done == 2
    progress(1, "demix", 0.5)  # told late
    progress.next_is_given()
    progress.next_is_given()
    assert progress.left_s == 0


def test_several_songs_at_once_share_the_time(progress, clock):
    progress(0, "demix", 0.0)
    progress(1, "demix", 0.0)
    clock.now += 10
    progress(1, "demix", 0.5)
    progress(0, "demix", 0.5)
    assert progress.left_s == pytest.approx(30)


def test_nothing_is_estimated_from_too_little(progress, clock):
    progress(0, "demix", 0.0)
    clock.now += 1
    progress(0, "demix", 0.5)
    assert progress.left_s is None
    clock.now += 9
    progress(0, "demix", 0.5)
    assert progress.left_s == pytest.approx(70)


def test_between_two_reports_the_time_goes_down(progress, clock):
    progress(0, "demix", 0.0)
    clock.now += 10
    progress(0, "demix", 0.5)
    assert progress.left_s == pytest.approx(70)
    clock.now += 5
    assert progress.left_s == pytest.approx(65)
    clock.now += 500
    assert progress.left_s == 0


PROGRAM = """
import logging, sys
from pathlib import Path
from allin1_core.cli.printing import say, tolerant_streams
from allin1_core.cli.progress import show_progress
from allin1_core.runtime.track import make_tracks

tracks = make_tracks([Path(f"a rather long name of song {n}.wav") for n in range(3)])
with tolerant_streams(), show_progress(tracks, enabled=True) as progress:
    for index in range(3):
        for part in range(4):
            progress(index, "demix", part / 4)
        progress.next_is_given()
        say(f"out/{index}.json: " + index * "many words ")
        say(f"warning [bold]{index}[/bold]", err=True)
        print("from a library", index, file=sys.stderr)
say("the end")
"""


def rows_of(text: str) -> list[str]:
    """What a terminal shows that knows the few commands which a bar needs, and is wide."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+", text):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            rows += [""] * (row >= len(rows))
        elif token.startswith("\x1b["):
            if token.endswith("A"):
                row -= int(token[2:-1] or 1)
            elif token.endswith("K"):
                rows[row] = ""
        else:
            rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in rows]


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of POSIX")
def test_the_bar_leaves_nothing_behind_and_what_is_said_stands_above_it():
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:  # Linux says so at the end
                break
            if not block:
                break
            written += block
    os.close(leader)
    assert process.returncode == 0
    text = written.decode()
    assert "a rather long name of song 2" in text
    assert "━" in text
    expected = []
    for index in range(3):
        expected.append(f"out/{index}.json: {index * 'many words '}".rstrip())
        expected += [f"warning [bold]{index}[/bold]", f"from a library {index}"]
    assert [row for row in rows_of(text) if row] == [*expected, "the end"]
