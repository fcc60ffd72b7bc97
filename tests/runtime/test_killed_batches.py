"""A batch that is killed repeatedly, next to another in the same folder, has the same results in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.io.results import load_result

SONGS, BROKEN, KILLS = 24, (5,), 5


def write_songs(folder: Path) -> list[str]:
    """Write the songs, some of them broken, and give the names of the good ones."""
    folder.mkdir()
    rng = np.random.default_rng(8)
    for number in range(SONGS):
        path = folder / f"song{number:02}.wav"
        if number in BROKEN:
            path.write_bytes(b"RIFF and nothing that belongs there")
        else:
            soundfile.write(path, rng.normal(0, 0.1, (5 * 44100, 2)), 44100)
    return [f"song{n:02}" for n in range(SONGS) if n not in BROKEN]


class Batch:
    """A process that analyses the folder, with a report."""

    def __init__(self, songs: Path, out: Path, report: Path) -> None:
        command = [sys.executable, "-m", "allin1_core", "analyze", "-m", "builtin", "-a", "-q"]
        command += ["--backend", "nn=stand-in", "--no-cache", "-o", out, "--report", report, songs]
        self.report = report
        # What is whole when it starts must never be made again.
        self.finished = {path.stem for path in out.glob("*.json")}
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def lines(self) -> list[dict]:
        """Read what it reported; the line at which it was killed may be half a one."""
        if not self.report.exists():
            return []
        text = self.report.read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_batch_that_is_killed_loses_nothing_and_repeats_nothing(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), *sys.path]))
    good = write_songs(tmp_path / "songs")
    rng = random.Random(4)
    out = tmp_path / "out"
    out.mkdir()
    batches: list[Batch] = []

    def start() -> Batch:
        batches.append(Batch(tmp_path / "songs", out, tmp_path / f"report{len(batches)}"))
        return batches[-1]

    running = [start(), start()]
    for _ in range(KILLS):
        enough = min(len(list(out.glob("*.json"))) + rng.randint(1, 3), len(good))
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.json"))) < enough and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        victim = running.pop(0)
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        for path in out.glob("*.json"):
            load_result(path)
        running.append(start())
    for batch in running:
        assert batch.process.wait(120) == 3  # the broken song
    last = start()
    assert last.process.wait(60) == 3
    statuses = {Path(line["input"]).stem: line["status"] for line in last.lines()}
    assert statuses == {
        **dict.fromkeys(good, "skipped"),
        **{f"song{n:02}": "failed" for n in BROKEN},
    }

    # Nothing that was finished is made again, and at least one of them was killed at work.
    for batch in batches:
        again = {Path(n["input"]).stem for n in batch.lines() if n["status"] == "done"}
        assert not again & batch.finished
    # Nor is anything made by two at once.
    done = Counter(n["input"] for batch in batches for n in batch.lines() if n["status"] == "done")
    assert set(done.values()) == {1}
    assert any(0 < len(batch.lines()) < SONGS for batch in batches)

    # Nothing is half-written, and nothing is left over.
    files = {f"{name}{suffix}" for name in good for suffix in (".json", ".activ.npz")}
    assert {path.name for path in out.iterdir()} == files

    # Each result is that of a batch that nothing has disturbed.
    undisturbed = Batch(tmp_path / "songs", tmp_path / "calm", tmp_path / "report")
    assert undisturbed.process.wait(120) == 3
    for name in good:
        one, other = (load_result(f / f"{name}.json") for f in (out, tmp_path / "calm"))
        assert one.beats
        assert (one.beats, one.segments, one.path) == (other.beats, other.segments, other.path)
        assert one.provenance.identity == other.provenance.identity
        for array, values in one.activations.items():
            np.testing.assert_array_equal(values, other.activations[array])
