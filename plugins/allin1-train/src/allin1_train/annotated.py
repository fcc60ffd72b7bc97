"""Shards of annotated recordings: a folder of songs, or of folders of stems, with references next to them.

``allin1-train annotated MUSIC SHARDS`` takes ``song.flac`` or ``song/{bass,drums,other,vocals}.wav`` with
``song.jams``, ``song.beats``, ``song.txt``, ``song.lab``, or any other format that :mod:`allin1_core.evaluation` reads.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import Allin1Error, InputError
from allin1_core.evaluation import Reference, read_reference
from allin1_core.io.audio import read_audio
from allin1_core.io.inputs import AUDIO_SUFFIXES
from allin1_core.io.stems import find_stems, read_stems
from allin1_core.reference import spectrogram
from numpy.typing import NDArray

from allin1_train.files import atomically
from allin1_train.network import LABELS
from allin1_train.songs_in_memory import FPS
from allin1_train.views import views

#: Alternative names of the labels, in lower case and without numbers.
SYNONYMS = {
    "instrumental": "inst",
    "interlude": "inst",
    "breakdown": "break",
    "refrain": "chorus",
    "hook": "chorus",
    "drop": "chorus",
    "silence": "end",
    "fadein": "intro",
    "fadeout": "outro",
    "coda": "outro",
}


@dataclass(frozen=True)
class Recording:
    """A song or a folder of stems, and the path of its references without suffix."""

    path: Path
    reference: Path

    @property
    def name(self) -> str:
        """Name of the shard."""
        return self.reference.name


def recordings(music: Path, references: Path | None = None) -> Iterator[Recording]:
    """Find songs and folders of stems.

    Parameters
    ----------
    music
        Folder of the songs.
    references
        Folder of the references; None if they are next to the songs.
    """
    for path in sorted(music.iterdir()):
        if path.is_dir() or path.suffix.lower() in AUDIO_SUFFIXES:
            name = path.name if path.is_dir() else path.stem
            yield Recording(path, (references or music) / name)


def label_index(name: str) -> int:
    """Index of a label in the network's outputs; -1 for unknown labels.

    Numbers and single letters at the end do not count: ``Verse 2`` and ``chorus_b`` are verse and chorus.
    """
    word = (
        re.sub(r"[\s_-]*\d+[a-z]?$|[\s_-]+[a-z]$", "", name.strip().lower())
        .replace("-", "")
        .replace(" ", "")
    )
    word = SYNONYMS.get(word, word)
    return LABELS.index(word) if word in LABELS else -1


def truth(reference: Reference, frames: int) -> dict[str, Any]:
    """Annotations of a song in the format of a shard; NaN, and labels of -1, for missing ones."""
    unknown = np.array([np.nan])
    found: dict[str, Any] = {
        "beats": unknown if reference.beats is None else reference.beats,
        "downbeats": unknown if reference.downbeats is None else reference.downbeats,
        "boundaries": unknown,
        "labels": np.full(frames, -1, np.int8),
    }
    if reference.segments:
        segments = [
            s
            for s in reference.segments
            if label_index(s.label) > 1 or s.label not in ("start", "end")
        ]
        at = np.arange(frames) / FPS
        labels = np.full(frames, -1, np.int8)
        labels[at < segments[0].start] = LABELS.index("start")
        labels[at >= segments[-1].end] = LABELS.index("end")
        for s in segments:
            labels[(at >= s.start) & (at < s.end)] = label_index(s.label)
        found["labels"] = labels
        found["boundaries"] = np.unique([t for s in segments for t in (s.start, s.end)])
    return found


def spectra(path: Path, takes: str) -> NDArray[np.float32]:
    """Network's input float32 [4, T, 81] of a song or a folder of stems.

    Raises
    ------
    InputError
        Stems are required, but the song is a single file.
    """
    if path.is_dir():
        stems, _, _ = read_stems(find_stems(path))
        samples = np.asarray(stems.samples)
        if takes == "stems":
            made = spectrogram.create(Setup())(Stems(samples), Task())
            return np.asarray(made.frames, np.float32)
        mix = samples.sum(0)
        return views(np.broadcast_to(mix, (2, mix.shape[1])))
    if takes == "stems":
        raise InputError("is one file, not a folder of stems.", path=path)
    return views(read_audio(path)[0])


def make_shard(recording: Recording, out: Path, takes: str = "mix") -> Path:
    """Write the shard of a recording.

    Raises
    ------
    Allin1Error
        The audio or its references cannot be read.
    """
    reference = read_reference(recording.reference)
    x = spectra(recording.path, takes)
    path = out / f"{recording.name}.npz"
    shard: dict[str, Any] = {"x": x.astype(np.float16), "drums": np.array(True)}
    shard |= truth(reference, x.shape[1])
    atomically(lambda f: np.savez(f, **shard), path)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    p = argparse.ArgumentParser(prog="allin1-train annotated", description=__doc__)
    p.add_argument("music", type=Path, help="folder of songs, or of folders of stems")
    p.add_argument("out", type=Path, help="folder for the shards")
    p.add_argument("--references", type=Path, help="folder of the references (default: MUSIC)")
    p.add_argument(
        "--takes", choices=("mix", "stems"), default="mix", help="input of the model (default: mix)"
    )
    a = p.parse_args(arguments)
    a.out.mkdir(parents=True, exist_ok=True)
    count, unknown = 0, Counter[str]()
    for recording in recordings(a.music, a.references):
        try:
            path = make_shard(recording, a.out, a.takes)
        except Allin1Error as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for s in read_reference(recording.reference).segments or ():
            if label_index(s.label) < 0:
                unknown[s.label] += 1
        count += 1
        print(path, flush=True)
    if unknown:
        print("Unknown labels, which are not used for training:", dict(unknown))
    if not count:
        raise SystemExit(f"No song of {a.music} has a reference that can be read.")
