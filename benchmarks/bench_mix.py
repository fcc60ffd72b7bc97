"""From the file of a mix to its beats, on the command line: this package, all-in-one-infer, madmom's network, and beat_this.

Every call is a separate process, including its start-up; the programs take turns, so that a busy machine slows down all::

    python benchmarks/bench_mix.py song.mp3
    python benchmarks/bench_mix.py song.mp3 --rounds 5 --threads 2 --beat-this other/bin/python

Prints for each program the best and the median wall time, the CPU time of the best call, and the milliseconds per second
of audio. ``builtin`` also finds sections, and runs with the compiled backends, with NumPy only, and with NumPy and one
member; so does all-in-one-infer, after a separation (`upstream_mix.py`, from a WAV file of the song, in the first round
only, because it takes minutes). ``madmom-rnn`` (allin1-madmom with madmom-infer) and beat_this only find beats. Without
SONG, three minutes of the demo song, repeated, are encoded as MP3.

beat_this requires the version of PyTorch that its torchaudio was built for, hence a separate environment: ``pip install
beat-this soundfile``. Its weights are random, which does not affect the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

ALLIN1 = [sys.executable, "-m", "allin1_core.cli.main"]
REFERENCE = ("nn", "metrical_prep", "metrical_dbn", "functional")
NUMPY = [
    "-b",
    "spectrogram=reference-mix",
    *(w for s in REFERENCE for w in ("-b", f"{s}=reference")),
]
COMPILED = ["-b", "spectrogram=cython-mix", "-b", "nn=cython", "-b", "metrical_dbn=dbn-cython"]
#: Plugins whose probes would import large libraries.
OTHERS = ["--block", "mlx"]
BEAT_THIS = "import sys; from beat_this.inference import File2File; File2File(None)(*sys.argv[1:3])"


@dataclass
class Side:
    """A program that analyses the song: its command, and the times of each call.

    Attributes
    ----------
    name
        Name in the table.
    command
        The command to run.
    wall_s, cpu_s
        Times of each call in seconds.
    trouble
        Why it could not be measured.
    rounds
        How often it is called at most.
    """

    name: str
    command: list[str]
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    trouble: str = ""
    rounds: int = 1_000

    def call(self, environment: dict[str, str]) -> None:
        """Analyse the song once more."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(self.command, env=environment, capture_output=True, text=True)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            self.trouble = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            return
        self.wall_s.append(wall)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.cpu_s.append(cpu)


def sides(song: Path, folder: Path, threads: int, beat_this: str | None) -> list[Side]:
    always = [str(song), "-q", "--no-cache", "--overwrite", "--threads", str(threads)]

    def ours(name: str, model: str, *options: str) -> Side:
        out = str(folder / name.replace(" ", "-"))
        command = [*ALLIN1, *OTHERS, "analyze", *always, "-m", model, "-o", out, *options]
        return Side(name, command)

    found = [
        ours("builtin compiled", "builtin", *COMPILED),
        ours("builtin NumPy", "builtin", *NUMPY),
        ours("builtin-0 NumPy", "builtin-0", *NUMPY),
        ours("madmom-rnn", "madmom-rnn"),
    ]
    wav = folder / "upstream.wav"
    samples, rate = soundfile.read(song, dtype="float32")
    soundfile.write(wav, samples, rate)
    upstream = [str(wav), str(folder / "upstream"), str(threads)]
    command = [sys.executable, str(Path(__file__).with_name("upstream_mix.py")), *upstream]
    found.append(Side("all-in-one-infer", command, rounds=1))
    if beat_this is not None:
        out = str(folder / "beat_this.beats")
        found.append(Side("beat_this", [beat_this, "-c", BEAT_THIS, str(song), out]))
    return found


def write_song(folder: Path, seconds: float) -> Path:
    from allin1_core.demo import write_demo

    mono, rate = soundfile.read(write_demo(folder / "demo") / "song.wav", dtype="float32")
    samples = np.resize(mono, round(seconds * rate))
    path = folder / "song.mp3"
    soundfile.write(path, np.stack([samples, 0.9 * samples], axis=1), rate)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("song", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the generated song")
    parser.add_argument("--beat-this", metavar="PYTHON", help="interpreter that has beat-this")
    options = parser.parse_args()
    threads = str(options.threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, threads)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = options.song or write_song(folder, options.seconds)
        found = sides(song.absolute(), folder, options.threads, options.beat_this)
        for _ in range(options.rounds):
            for side in found:
                if not side.trouble and len(side.wall_s) < side.rounds:
                    side.call(environment)
        seconds = soundfile.info(song).duration
    print(f"{seconds:.1f} s of audio, {threads} threads, {options.rounds} rounds")
    print(f"{'':<18}{'best s':>8}{'median s':>10}{'CPU s':>8}{'ms/s':>8}{'x':>7}")
    first = min(found[0].wall_s, default=float("nan"))
    for side in found:
        if side.trouble:
            print(f"{side.name:<18}{side.trouble}")
            continue
        best = min(side.wall_s)
        cpu = side.cpu_s[side.wall_s.index(best)]
        median = float(np.median(side.wall_s))
        rate = 1e3 * best / seconds
        print(f"{side.name:<18}{best:8.2f}{median:10.2f}{cpu:8.2f}{rate:8.1f}{best / first:7.1f}")


if __name__ == "__main__":
    main()
