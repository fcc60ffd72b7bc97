"""Peak memory and time of ``allin1 analyze`` on a song of an hour, from file to result.

The real Demucs takes 0.4 s per second of audio on two cores. To measure the other costs of long songs, the song is
separated by a small HTDemucs that is created here: with the same segments of 7.8 s and the same files as published
weights, but a hundredth of the work. ``--demucs-weights random:1234`` uses the real size instead, which is slow.

    python benchmarks/bench_long_song.py --minutes 60 --options "-m harmonix-fold0"
    python benchmarks/bench_long_song.py --minutes 12 --demucs-weights random:1234
"""

from __future__ import annotations

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import torch
from demucs.htdemucs import HTDemucs

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.testing.signals import music_stems

THIN = {"channels": 16, "growth": 1, "bottom_channels": 32, "t_layers": 1, "t_heads": 2}


def write_song(path: Path, minutes: float) -> None:
    """Repeat a minute of music, with a little noise that does not repeat."""
    minute = music_stems(60.0).samples.sum(axis=0)[0]
    rng = np.random.default_rng(0)
    left = round(minutes * 60 * SAMPLE_RATE)
    with soundfile.SoundFile(str(path), "w", SAMPLE_RATE, channels=2, subtype="PCM_16") as file:
        while left > 0:
            noise = 0.001 * rng.standard_normal((len(minute), 2))
            file.write((0.5 * minute[:, None] + noise)[:left])
            left -= len(minute)


def write_thin_weights(folder: Path) -> None:
    """Write a bag of one model called ``thin``, as Demucs publishes its models."""
    torch.manual_seed(0)
    model = HTDemucs(["drums", "bass", "other", "vocals"], segment=Fraction(39, 5), **THIN)
    arguments, options = model._init_args_kwargs
    package = {"klass": HTDemucs, "args": arguments, "kwargs": options}
    torch.save({**package, "state": model.state_dict()}, folder / "0123abcd.th")
    (folder / "thin.yaml").write_text("models: ['0123abcd']\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--extension", default="flac", help="format of the song: flac, wav, mp3, ogg"
    )
    parser.add_argument("--demucs-weights", help="folder or random:SEED, instead of small ones")
    parser.add_argument("--options", default="", help="more options of allin1 analyze")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / f"song.{arguments.extension}"
        write_song(song, arguments.minutes)
        separation = ["--demucs-weights", arguments.demucs_weights or name]
        if arguments.demucs_weights is None:
            write_thin_weights(folder)
            separation += ["--demucs-model", "thin"]
        words = ["analyze", str(song), "-o", name, *separation, *shlex.split(arguments.options)]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "allin1_core", *words], check=True)
        seconds = time.perf_counter() - began
        timings = (folder / "song.json").read_text(encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # KiB, on Linux
    print(timings[timings.index('"stages"') :])
    print(f"{arguments.minutes:g} minutes of audio: {seconds:.1f} s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
