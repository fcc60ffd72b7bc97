"""Renders seeded training songs in parallel, one shard per song.

``python -m allin1_train.songs OUT --songs 1000 --procs 16 --soundfont FluidR3Mono_GM.sf3``
"""

import os

if __name__ == "__main__":  # one thread per process, must be set before NumPy is loaded
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from allin1_train.files import atomically
from allin1_train.music import Song, SoundFont, compose, render
from allin1_train.views import views

#: Labels in the order of the model's outputs; the label of a frame is an index.
LABELS = ("start", "end", "intro", "outro", "break", "bridge", "inst", "solo", "verse", "chorus")
FRAMES_PER_SECOND = 100

_font: SoundFont  # of this process and, by fork, of its children


@dataclass
class Rendered:
    """The outcome of a run: songs, hours of audio, wall-clock and CPU seconds, errors by seed."""

    songs: int = 0
    hours: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    failures: list[str] = field(default_factory=list)


def frame_labels(song: Song, frames: int) -> np.ndarray:
    """Label of every frame, int8 [frames]: before the music ``start``, after it ``end``."""
    starts = np.array([s for s, _ in song.sections] + [song.music[1]])
    names = ["start", *(name for _, name in song.sections), "end"]
    index = np.array([LABELS.index(name) for name in names], np.int8)
    return index[np.searchsorted(starts, np.arange(frames) / FRAMES_PER_SECOND, side="right")]


def example(seed: int, font: SoundFont) -> dict[str, Any]:
    """Views and annotations of the song of a seed.

    Returns
    -------
    x
        Views, float16 [4, T, 81].
    beats, downbeats, boundaries
        Times in seconds; the boundaries include start and end of the music.
    labels
        int8 [T], indices of `LABELS`.
    drums, genre, bpm, seed
        Whether it has drums, its genre, tempo and seed.
    """
    song = compose(seed)
    x = views(render(song, font))
    if not np.isfinite(x).all() or x.max() < 0.1:
        raise ValueError("the song is silent or not finite")
    return {
        "x": x.astype(np.float16),
        "beats": song.beats,
        "downbeats": song.downbeats,
        "boundaries": np.array([s for s, _ in song.sections] + [song.music[1]]),
        "labels": frame_labels(song, x.shape[1]),
        "drums": any(t.role == "drums" for t in song.tracks),
        "genre": song.genre,
        "bpm": song.bpm,
        "seed": seed,
    }


def _write(job: tuple[int, Path, float]) -> tuple[float, float] | str | None:
    """Write one shard; returns its length and CPU time, an error, or None if the time is up."""
    seed, out, until = job
    if time.time() > until:
        return None
    begin = time.process_time()
    try:
        made = example(seed, _font)
        atomically(lambda f: np.savez(f, **made), out / f"{seed:07d}.npz")
    except Exception as error:
        return f"seed {seed}: {error!r}"
    return made["x"].shape[1] / FRAMES_PER_SECOND, time.process_time() - begin


def write_songs(
    out: str | Path,
    soundfont: str | Path,
    first: int = 0,
    songs: int = 10**6,
    minutes: float = 1e6,
    procs: int | None = None,
    progress: bool = False,
) -> Rendered:
    """Write the shards ``{seed:07d}.npz`` of the songs `first` … `first` + `songs` - 1.

    A song that fails is counted and left out.

    Parameters
    ----------
    out
        Folder, created if it is missing. Shards are written atomically.
    soundfont
        Path of a General MIDI SoundFont.
    first, songs
        First seed, and number of seeds.
    minutes
        No song is started after this time.
    procs
        Number of processes; by default one per core.
    progress
        Whether to report on stderr.

    Raises
    ------
    FileNotFoundError
        The SoundFont is missing.
    RuntimeError
        Too many songs fail.
    """
    global _font
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    _font = SoundFont(soundfont)  # before the fork, so that it is shared
    done = Rendered()
    until = begin + 60 * minutes

    def jobs() -> Iterator[tuple[int, Path, float]]:
        for seed in range(first, first + songs):
            if time.time() > until:
                return
            yield seed, out, until

    with get_context("fork").Pool(procs or os.cpu_count()) as pool:
        for result in pool.imap_unordered(_write, jobs()):
            if result is None:
                continue
            if isinstance(result, str):
                done.failures.append(result)
                if len(done.failures) > 5 + 0.02 * done.songs:
                    raise RuntimeError(f"too many songs fail: {done.failures[:3]}")
                continue
            done.songs += 1
            done.hours += result[0] / 3600
            done.cpu_s += result[1]
            if progress and done.songs % 200 == 0:
                elapsed = time.time() - begin
                print(
                    f"{done.songs} songs, {done.hours:.1f} h, {elapsed:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
        pool.close()
        pool.join()
    done.wall_s = time.time() - begin
    return done


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    p = argparse.ArgumentParser(prog="allin1_train.songs", description="Render training songs.")
    p.add_argument("out", type=Path, help="folder for the shards")
    p.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first song")
    p.add_argument("--songs", type=int, default=10**6, help="number of songs")
    p.add_argument("--minutes", type=float, default=1e6, help="start no song after this time")
    p.add_argument("--procs", type=int, default=None, help="processes (default: one per core)")
    p.add_argument("--soundfont", type=Path, required=True, help="FluidR3Mono_GM.sf3")
    a = p.parse_args(argv)
    done = write_songs(a.out, a.soundfont, a.first, a.songs, a.minutes, a.procs, progress=True)
    seconds = 3600 * done.hours
    print(
        f"rendered {done.songs} songs, {done.hours:.2f} h in {done.wall_s:.0f} s: "
        f"{seconds / max(done.wall_s, 1e-9):.0f}x real time, {seconds / max(done.cpu_s, 1e-9):.0f}x a core; "
        f"failed {len(done.failures)} {done.failures[:2]}",
        flush=True,
    )


if __name__ == "__main__":
    main()
