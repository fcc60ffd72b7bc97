"""What a whole batch costs with Ray, against the same batch by processes of this machine.

``python benchmarks/ray_overhead.py [--songs N] [--seconds S] [--turn T]`` makes songs, and runs two commands on them,
``allin1 analyze -j 2`` and ``allin1 analyze --executor ray -j 2``, from their start to their end. Both are started at once,
and take turns of a few seconds: all processes of one are stopped while those of the other run. Whatever else the machine
does therefore slows both by about the same.

Wall seconds of a side are those of its turns. CPU seconds are those of all its processes, Ray's services included, read
twice a second. Each round prints, for each side, the songs that are done, wall and CPU seconds. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from allin1_core.testing.signals import music_stems

RATE = 44_100

#: Units of a second in which the kernel counts.
TICKS = os.sysconf("SC_CLK_TCK")

#: Contents that differ; making more would take longer than what is measured.
CONTENTS = 40

#: How often the CPU seconds of processes are read, which may have ended by the next time.
READ_EVERY_S = 0.5

SIDES = {
    "local": ("-j", "2"),
    "ray": ("--executor", "ray", "-j", "2", "-O", "ray.address=local"),
}


class Side:
    """A command, which can be stopped and continued with all processes that it has started."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name = name
        self.out = folder / f"out-{name}"
        self.wall_s = 0.0
        #: CPU seconds by process, and by when that was started: numbers of processes are used again.
        self.used: dict[tuple[int, int], float] = {}
        environment = {
            **os.environ,
            "ALLIN1_CONFIG": "",
            "ALLIN1_CACHE_DIR": str(folder / f"cache-{name}"),
            "RAY_AUTH_MODE": "disabled",
        }
        self.log = folder / f"{name}.log"
        words = [sys.executable, "-m", "allin1_core", "analyze", *arguments, "-o", str(self.out)]
        with self.log.open("wb") as log:
            # Its session is what all its processes share, whoever started them.
            self.process = subprocess.Popen(
                words, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        self.signal(signal.SIGSTOP)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes, ended ones included."""
        return sum(self.used.values())

    @property
    def songs(self) -> int:
        """How many are done."""
        return sum(1 for _ in self.out.glob("*.json"))

    def read(self) -> set[int]:
        """Note what the processes have used, and give those that are there."""
        there = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name, which is in brackets, may hold spaces.
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    pid = int(path.parent.name)
                    there.add(pid)
                    self.used[pid, int(fields[19])] = (int(fields[11]) + int(fields[12])) / TICKS
        return there

    def signal(self, number: int) -> None:
        """Send a signal to all processes, and to those that they have started meanwhile."""
        sent: set[int] = set()
        while left := self.read() - sent:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            sent |= left

    def take_turn(self, seconds: float) -> None:
        """Run for `seconds`, or until it has ended."""
        began = time.perf_counter()
        self.signal(signal.SIGCONT)
        while self.process.poll() is None and time.perf_counter() - began < seconds:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(READ_EVERY_S)
            self.read()
        if self.process.poll() is None:
            self.signal(signal.SIGSTOP)
        self.wall_s += time.perf_counter() - began


def make_songs(folder: Path, songs: int, seconds: float) -> None:
    mix = 0.3 * music_stems(seconds, seed=1).samples.sum(axis=0)
    for number in range(songs):
        path = folder / f"{number:05}.mp3"
        if number < CONTENTS:
            soundfile.write(path, np.roll(mix, 997 * number, axis=-1).T, RATE)
        else:
            shutil.copyfile(folder / f"{number % CONTENTS:05}.mp3", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--turn", type=float, default=10.0, help="seconds")
    parser.add_argument("--limit-s", type=float, default=3600.0)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ray-overhead-") as name:
        folder = Path(name)
        songs = folder / "songs"
        songs.mkdir()
        make_songs(songs, options.songs, options.seconds)
        shared = [str(songs), "-m", "builtin", "--no-cache", "-q"]
        sides = [Side(name, [*shared, *words], folder) for name, words in SIDES.items()]
        rounds = 0
        try:
            while any(side.process.poll() is None for side in sides):
                # The one that goes first changes, so that a machine that gets busier is the same to both.
                for side in sides[:: -1 if rounds % 2 else 1]:
                    if side.process.poll() is None:
                        side.take_turn(options.turn)
                rounds += 1
                elapsed = time.perf_counter() - began
                told = {s.name: (s.songs, round(s.wall_s, 2), round(s.cpu_s, 2)) for s in sides}
                print(json.dumps({"elapsed_s": round(elapsed), **told}), flush=True)
                if elapsed > options.limit_s:
                    sys.exit("It takes too long.")
        finally:
            for side in sides:
                side.signal(signal.SIGKILL)
        for side in sides:
            assert side.process.returncode == 0, side.log.read_text()
            assert side.songs == options.songs, (side.name, side.songs)
    local, ray = sides
    overhead = {
        "wall_percent": round(100 * (ray.wall_s / local.wall_s - 1), 1),
        "cpu_percent": round(100 * (ray.cpu_s / local.cpu_s - 1), 1),
    }
    print(json.dumps({"songs": options.songs, "seconds": options.seconds, **overhead}))


if __name__ == "__main__":
    main()
