"""How well a model does that takes the mix: on composed songs of seeds that no training heard, and on real ones.

    python benchmarks/accuracy.py --songs 500 --soundfont FluidR3Mono_GM.sf3 --shared ../shared

Composed songs need allin1-train; those of the frozen composer and the real ones lie in the folder `--shared`. What is rendered is
kept in `--folder` and taken from there the next time. Scores are those of `allin1_core.evaluation`, of the metre and sections
that a session finds with the model's own parameters; the accuracy of labels is also given by frames.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from allin1_core.contracts.audio import STEMS, Mix
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.sections import Segment
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.evaluation import Reference, score
from allin1_core.io.audio import read_audio
from allin1_core.runtime.session import Session

#: First seeds of the songs that are for measuring alone, of the composer and of the frozen one.
FIRST, FIRST_FROZEN = 8_000_000, 8_100_000
COLUMNS = {
    "beat_f": "beat",
    "beat_bare": "no drums",
    "downbeat_f": "downbeat",
    "boundary_hr_05": "HR.5F",
    "boundary_hr_3": "HR3F",
    "label_frames": "labels",
    "beat_cmlt": "CMLt",
    "beat_amlt": "AMLt",
}


def compose(folder: Path, first: int, songs: int, soundfont: Path, frozen: Path | None) -> None:
    """Render the songs that the folder lacks, by allin1-train or by the frozen composer."""
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


def composed(folder: Path, first: int, songs: int) -> Iterator[dict[str, np.ndarray]]:
    """Shards of a folder; songs that could not be rendered are absent."""
    for seed in range(first, first + songs):
        path = folder / f"{seed:07d}.npz"
        if path.exists():
            with np.load(path) as shard:
                yield {name: shard[name] for name in shard.files}


def reference(shard: Mapping[str, np.ndarray]) -> Reference:
    """Truth of a composed song."""
    labels = shard["labels"]
    edges = np.concatenate([[0.0], shard["boundaries"], [len(labels) / 100]])
    parts = [
        Segment(float(a), float(b), HARMONIX_LABELS[labels[int((a + b) * 50)]])
        for a, b in itertools.pairwise(edges)
        if b > a
    ]
    return Reference(shard["beats"], shard["downbeats"], tuple(parts))


def score_shard(session: Session, shard: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Scores of one composed song."""
    views = LogSpectrogram(np.ascontiguousarray(shard["x"], np.float32))
    made = session.run(views, outputs=("beats", "sections", "logits")).products
    beats, downbeats = made.metre.beat_times_s, made.metre.downbeat_times_s
    found = score(reference(shard), beats, downbeats, made.sections.segments)
    labels = shard["labels"]
    found["label_frames"] = float((np.asarray(made.logits.function).argmax(0) == labels).mean())
    if not shard["drums"]:
        found["beat_bare"] = found["beat_f"]
    return found


def real_songs(shared: Path) -> Iterator[tuple[str, np.ndarray, Reference]]:
    """Names, mixes float32 [2, n] and truth of the real songs."""
    music = shared / "music"
    stems = [read_audio(music / "francium" / f"{s}.flac")[0] for s in STEMS]
    grid = json.loads((music / "francium" / "grid.json").read_text())
    yield (
        "francium, 90 s of its stems",
        np.broadcast_to(sum(stems), (2, stems[0].shape[1])),
        on_grid(grid),
    )
    for name, grid in json.loads((music / "mixes" / "grid.json").read_text()).items():
        mix = read_audio(music / "mixes" / f"{name}.ogg")[0]
        yield f"{name}, the whole mix", mix, on_grid(grid)


def on_grid(grid: Mapping[str, float]) -> Reference:
    """Beats of a steady tempo."""
    beats = np.arange(grid["first_downbeat"], grid["duration"], 60 / grid["bpm"])
    return Reference(beats, beats[:: int(grid["meter"])])


def row(name: str, scores: Sequence[Mapping[str, float]]) -> str:
    """A line of the table: means of what was scored."""
    cells = []
    for column in COLUMNS:
        values = [s[column] for s in scores if column in s]
        cells.append(f"{np.mean(values):.3f}" if values else "")
    return f"| {name} | {len(scores)} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", nargs="*", default=["builtin"], help="one or more")
    parser.add_argument("--songs", type=int, default=500, help="of each composer; 0 for none")
    parser.add_argument("--soundfont", type=Path, help="FluidR3Mono_GM.sf3, for composed songs")
    parser.add_argument("--shared", type=Path, help="folder with music/ and prototypes/")
    parser.add_argument("--folder", type=Path, default=Path("scratch/accuracy"), help="of shards")
    arguments = parser.parse_args()
    sets = []
    if arguments.songs:
        frozen = arguments.shared and arguments.shared.resolve() / "prototypes" / "own-model"
        for name, first, where in (
            ("new", FIRST, None),
            *([("frozen", FIRST_FROZEN, frozen)] if frozen else []),
        ):
            if arguments.soundfont:
                folder = arguments.folder / name
                compose(folder, first, arguments.songs, arguments.soundfont, where)
            sets.append((name, first))
    for model in arguments.model:
        with Session(model) as session:
            print(f"\n{model} {session.card.version or ''}\n")
            print("| songs | how many | " + " | ".join(COLUMNS.values()) + " |")
            print("|---" * (2 + len(COLUMNS)) + "|")
            for name, first in sets:
                shards = composed(arguments.folder / name, first, arguments.songs)
                scores = [score_shard(session, shard) for shard in shards]
                print(row({"new": "composed", "frozen": "composed, frozen composer"}[name], scores))
            for name, mix, truth in real_songs(arguments.shared) if arguments.shared else ():
                metre = session.run(
                    Mix(np.ascontiguousarray(mix)), outputs=("beats",)
                ).products.metre
                print(
                    row(name, [score(truth, metre.beat_times_s, metre.downbeat_times_s)]),
                    flush=True,
                )


if __name__ == "__main__":
    main()
