"""Accuracy of models: on composed songs with seeds not used in training, on real songs, and relative to madmom's network.

    python benchmarks/accuracy.py --songs 500 --soundfont FluidR3Mono_GM.sf3 --shared ../shared
    python benchmarks/accuracy.py --model builtin harmonix-all --shared ../shared
    python benchmarks/accuracy.py --recordings music/ --json agreement.json

Composed songs require allin1-train; those of the frozen composer and the real ones are in the folder `--shared`. Rendered
songs are kept in `--folder` and reused. Models that take stems are measured if there are true stems. Recordings need no
annotations: the beats of a model are compared with those of `madmom-rnn` (allin1-madmom). Scores are those of
`allin1_core.evaluation`, for the metre and sections that a session finds with the model's own parameters; the accuracy of
labels is also given per frame.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from allin1_core.contracts.audio import STEMS, Mix, Stems
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.sections import Segment
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.evaluation import Reference, score
from allin1_core.io.audio import read_audio
from allin1_core.runtime.session import Session

#: First seeds of the songs that are only used for evaluation, of the composer and of the frozen one.
FIRST, FIRST_FROZEN = 8_000_000, 8_100_000
NEW, FROZEN = "composed", "composed, frozen composer"
AUDIO = (".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav")
COLUMNS = {
    "beat_f": "beat",
    "beat_best": "beat, best octave",
    "beat_bare": "no drums",
    "downbeat_f": "downbeat",
    "boundary_hr_05": "HR.5F",
    "boundary_hr_3": "HR3F",
    "label_frames": "labels",
    "beat_cmlt": "CMLt",
    "beat_amlt": "AMLt",
}


def compose(folder: Path, first: int, songs: int, soundfont: Path, frozen: Path | None) -> None:
    """Render the songs that are missing in the folder, with allin1-train or the frozen composer."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [s for s in range(first, first + songs) if not (folder / f"{s:07d}.npz").exists()]
    if not missing:
        return
    todo = ["--first", str(missing[0]), "--songs", str(missing[-1] + 1 - missing[0])]
    if frozen is None:
        command = [sys.executable, "-m", "allin1_train.songs", str(folder.resolve())]
        subprocess.run([*command, *todo, "--soundfont", str(soundfont.resolve())], check=True)
        return
    environment = os.environ | {
        "OWN_BUNDLE": str(soundfont.resolve().parent),
        "OWN_FONTS": soundfont.name,
    }
    command = [sys.executable, "data.py", str(folder.resolve()), *todo]
    subprocess.run(command, check=True, cwd=frozen, env=environment)


def composed(folder: Path, first: int, songs: int) -> dict[str, Path]:
    """Shards of a folder by seed; songs that could not be rendered are absent."""
    paths = {str(seed): folder / f"{seed:07d}.npz" for seed in range(first, first + songs)}
    return {seed: path for seed, path in paths.items() if path.exists()}


def reference(shard: Mapping[str, np.ndarray]) -> Reference:
    """Annotations of a composed song."""
    labels = shard["labels"]
    edges = np.concatenate([[0.0], shard["boundaries"], [len(labels) / 100]])
    parts = [
        Segment(float(a), float(b), HARMONIX_LABELS[labels[int((a + b) * 50)]])
        for a, b in itertools.pairwise(edges)
        if b > a
    ]
    return Reference(shard["beats"], shard["downbeats"], tuple(parts))


def score_shard(session: Session, path: Path) -> dict[str, float]:
    """Scores of one composed song."""
    with np.load(path) as file:
        shard = {name: file[name] for name in file.files}
    views = LogSpectrogram(np.ascontiguousarray(shard["x"], np.float32))
    made = session.run(views, outputs=("beats", "sections", "logits")).products
    beats, downbeats = made.metre.beat_times_s, made.metre.downbeat_times_s
    found = score(reference(shard), beats, downbeats, made.sections.segments)
    labels = shard["labels"]
    found["label_frames"] = float((np.asarray(made.logits.function).argmax(0) == labels).mean())
    if not shard["drums"]:
        found["beat_bare"] = found["beat_f"]
    return found


_session: Session  # of this process


def _start(model: str) -> None:
    """Create the session of a process, which uses one core."""
    global _session
    _session = Session(model, threads=1)


def _score(path: Path) -> dict[str, float]:
    return score_shard(_session, path)


def score_all(
    model: str, session: Session, paths: Mapping[str, Path], jobs: int
) -> dict[str, dict[str, float]]:
    """Scores of composed songs by seed, in this process or in `jobs` others."""
    if jobs == 1:
        return {seed: score_shard(session, path) for seed, path in paths.items()}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _start, (model,)) as pool:
        return dict(zip(paths, pool.map(_score, paths.values()), strict=True))


def real_songs(shared: Path) -> Iterator[tuple[str, Mix, Stems | None, Reference]]:
    """Names, mixes, stems if available, and annotations of the real songs."""
    music = shared / "music"
    stems = np.stack([read_audio(music / "francium" / f"{s}.flac")[0] for s in STEMS])
    mix = np.ascontiguousarray(np.broadcast_to(stems.sum(axis=0), (2, stems.shape[2])))
    grid = json.loads((music / "francium" / "grid.json").read_text())
    yield "francium, 90 s of its stems", Mix(mix), Stems(stems), on_grid(grid)
    for name, grid in json.loads((music / "mixes" / "grid.json").read_text()).items():
        mix = read_audio(music / "mixes" / f"{name}.ogg")[0]
        yield f"{name}, the whole mix", Mix(mix), None, on_grid(grid)


def on_grid(grid: Mapping[str, float]) -> Reference:
    """Beats of a steady tempo."""
    beats = np.arange(grid["first_downbeat"], grid["duration"], 60 / grid["bpm"])
    return Reference(beats, beats[:: int(grid["meter"])])


def recordings(folder: Path) -> list[Path]:
    """Audio files below a folder."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO)


def beats_of(session: Session, start: Mix | Stems) -> tuple[np.ndarray, np.ndarray]:
    """Times of beats and downbeats."""
    metre = session.run(start, outputs=("beats",)).products.metre
    return np.asarray(metre.beat_times_s), np.asarray(metre.downbeat_times_s)


def agreement(theirs: Reference, mine: np.ndarray) -> dict[str, float]:
    """Scores of beats, as they are and at the best of the same, half and double tempo."""
    found = score(theirs, mine)
    halves = [mine[::2], mine[1::2]]
    double = np.sort(np.concatenate([mine, (mine[1:] + mine[:-1]) / 2]))
    others = [score(theirs, beats)["beat_f"] for beats in (*halves, double)]
    return found | {"beat_best": max(found["beat_f"], *others)}


@dataclass(frozen=True)
class Row:
    """Scores of one model on a set of songs, each by the song's name."""

    model: str
    version: str
    name: str
    songs: Mapping[str, Mapping[str, float]]

    def means(self) -> dict[str, float]:
        """Mean of each score over the songs that have it."""
        columns = {c: [s[c] for s in self.songs.values() if c in s] for c in COLUMNS}
        return {c: float(np.mean(values)) for c, values in columns.items() if values}

    def line(self) -> str:
        """A line of the table."""
        means = self.means()
        cells = [f"{means[c]:.3f}" if c in means else "" for c in COLUMNS]
        return f"| {self.name} | {len(self.songs)} | " + " | ".join(cells) + " |"

    def content(self) -> dict[str, object]:
        """Plain values."""
        about = {"model": self.model, "version": self.version, "songs": self.name}
        return about | {"mean": self.means(), "each": self.songs}


def rows_of(model: str, arguments: argparse.Namespace, sets: Mapping[str, Path]) -> Iterator[Row]:
    """Measure a model on all requested sets of songs."""
    with Session(model) as session:
        version = session.card.version or ""
        takes_mix = session.card.takes == "mix"
        if takes_mix:
            for name, folder in sets.items():
                first = FIRST if name == NEW else FIRST_FROZEN
                paths = composed(folder, first, arguments.songs)
                yield Row(model, version, name, score_all(model, session, paths, arguments.jobs))
        for name, mix, stems, truth in real_songs(arguments.shared) if arguments.shared else ():
            start = mix if takes_mix else stems
            if start is not None:
                beats, downbeats = beats_of(session, start)
                found = score(truth, beats, downbeats) | agreement(truth, beats)
                yield Row(model, version, name, {name: found})
        if arguments.recordings and takes_mix:
            with Session("madmom-rnn") as madmom:
                scores = {}
                for path in recordings(arguments.recordings):
                    mix = Mix(read_audio(path)[0])
                    theirs, mine = (beats_of(one, mix)[0] for one in (madmom, session))
                    name = path.relative_to(arguments.recordings).as_posix()
                    scores[name] = agreement(Reference(theirs), mine)
                    print(f"{name}: {scores[name]}", file=sys.stderr, flush=True)
            yield Row(model, version, "recordings, against madmom-rnn", scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", nargs="*", default=["builtin"], help="names of the models")
    parser.add_argument("--songs", type=int, default=0, help="number of songs of each composer")
    parser.add_argument("--jobs", type=int, default=1, help="processes for composed songs")
    parser.add_argument("--soundfont", type=Path, help="FluidR3Mono_GM.sf3, for composed songs")
    parser.add_argument("--shared", type=Path, help="folder with music/ and prototypes/")
    parser.add_argument("--recordings", type=Path, help="folder of audio files, for agreement")
    parser.add_argument("--folder", type=Path, default=Path("scratch/accuracy"), help="of shards")
    parser.add_argument("--json", type=Path, help="file for the scores of every song")
    arguments = parser.parse_args()
    if not (arguments.songs or arguments.shared or arguments.recordings):
        parser.error("nothing to measure: give --songs, --shared or --recordings")
    sets = {}
    if arguments.songs:
        frozen = arguments.shared and arguments.shared.resolve() / "prototypes" / "own-model"
        for name, first, folder, where in (
            (NEW, FIRST, arguments.folder / "new", None),
            *([(FROZEN, FIRST_FROZEN, arguments.folder / "frozen", frozen)] if frozen else []),
        ):
            if arguments.soundfont:
                compose(folder, first, arguments.songs, arguments.soundfont, where)
            sets[name] = folder
    done = []
    for model in arguments.model:
        print(f"\n{model}\n\n| songs | how many | " + " | ".join(COLUMNS.values()) + " |")
        print("|---" * (2 + len(COLUMNS)) + "|", flush=True)
        for row in rows_of(model, arguments, sets):
            print(row.line(), flush=True)
            done.append(row.content())
    if arguments.json:
        arguments.json.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
