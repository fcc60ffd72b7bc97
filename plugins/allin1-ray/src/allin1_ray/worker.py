"""A worker: an actor that keeps a session, and analyses the songs of one task after another.

Within a task the songs go through the core's own batch, so the next is fetched and read while one is computed, and where
an accelerator computes, the metre is decoded beside the next. Audio never passes Ray's object store.
"""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allin1_core.errors import Allin1Error, BackendError
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.batch import Outcome, run_batch
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track
from allin1_core.urls import Url, is_url

from allin1_ray.backlog import MOST_DEATHS
from allin1_ray.storage import fetch, fetch_if_there, join, put
from allin1_ray.work import Song, Work

#: Arrays that lie beside the JSON of a result.
ARRAYS = (".activ.npz", ".embed.npy")


class SongAnalyser:
    """Analyses the songs of tasks.

    Parameters
    ----------
    work
        What is made of each song.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._session: Session | None = None
        self._is_busy = False
        signal.signal(signal.SIGTERM, self._end)

    def analyse(self, songs: Sequence[tuple[int, Song]]) -> bytes:
        """Analyse numbered songs; the pickled list of numbers, outcomes, and texts of tracebacks.

        The number is -1 for an error that ends the batch.
        """
        outcomes: list[tuple[int, Outcome | Allin1Error, str]]
        self._is_busy = True
        try:
            outcomes = [
                (index, outcome, _text_of(outcome.error))
                for (index, _), outcome in zip(
                    songs, self._run([song for _, song in songs]), strict=True
                )
            ]
        except Allin1Error as error:
            outcomes = [(-1, error, _text_of(error))]
        except KeyboardInterrupt:  # of _end; temporary files are removed by now
            os._exit(128 + signal.SIGTERM)
        finally:
            self._is_busy = False
        return pickle.dumps(outcomes)

    def _end(self, number: int, frame: Any) -> None:
        """Handle SIGTERM, as when the driver died; SystemExit, which Ray raises, would count as a failure of a plugin."""
        if self._is_busy:
            raise KeyboardInterrupt
        os._exit(128 + number)

    def _run(self, songs: Sequence[Song]) -> Iterator[Outcome]:
        work = self._work
        session = self._opened()
        with tempfile.TemporaryDirectory(prefix="allin1-ray-") as folder:
            out = Path(folder, "out") if work.out and is_url(work.out) else None
            tracks = _Fetched(songs, Path(folder), work, out)
            out_dir = out or (Path(work.out) if work.out else None)
            outcomes = run_batch(session, tracks, out_dir=out_dir, **work.options)
            for song, outcome in zip(songs, outcomes, strict=True):
                given = replace(outcome, track=song.track)
                if outcome.status == "failed" and (error := tracks.errors.get(song)):
                    given = replace(given, error=error)
                yield _delivered(given, song, work, out)

    def _opened(self) -> Session:
        if self._session is None:
            if self._work.config:
                self._write_config()
            recipe = self._work.recipe
            plugins = load_plugins(block=recipe.block, strict=recipe.strict)
            self._session = Session(recipe.model, plugins=plugins, **recipe.options)
        return self._session

    def _write_config(self) -> None:
        descriptor, path = tempfile.mkstemp(prefix="allin1-ray-", suffix=".toml")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._work.config)
        os.environ["ALLIN1_CONFIG"] = path


class _Fetched(Sequence[Track]):
    """The tracks of songs, whose files are fetched when each is first asked for: by the thread that reads it ahead."""

    def __init__(self, songs: Sequence[Song], folder: Path, work: Work, out: Path | None) -> None:
        self._songs = songs
        self._folder = folder
        self._work = work
        self._out = out
        self.errors: dict[Song, Allin1Error] = {}

    def __len__(self) -> int:
        return len(self._songs)

    def __getitem__(self, index: Any) -> Any:
        song = self._songs[index]
        track = song.track
        try:
            if self._out is not None:
                self._fetch_earlier(track.name)
            if song.url is not None:
                path = self._folder / f"{index}{Url(song.url).suffix}"
                track = replace(track, source=path, called=track.path)
                fetch(song.url, path, self._work.storage)
        except Allin1Error as error:
            self.errors[song] = error
            track = replace(track, source=self._folder / "not-fetched", stems=None, stems_dir=None)
        return track

    def _fetch_earlier(self, name: str) -> None:
        assert self._out is not None
        assert self._work.out is not None
        self._out.mkdir(exist_ok=True)
        storage, out = self._work.storage, self._work.out
        if fetch_if_there(join(out, f"{name}.json"), self._out / f"{name}.json", storage):
            for suffix in ARRAYS:
                path = self._out / f"{name}{suffix}"
                fetch_if_there(join(out, path.name), path, storage)


def _delivered(outcome: Outcome, song: Song, work: Work, out: Path | None) -> Outcome:
    """Put what was written where it belongs; what is in a file need not be sent to the driver."""
    if outcome.written is None or outcome.result is None:
        return outcome
    bare = replace(outcome.result, activations=None, embeddings=None)
    outcome = replace(outcome, result=bare)
    if out is None:
        return outcome
    assert work.out is not None
    name = song.track.name
    try:
        # The JSON comes last: where it is, the rest is.
        for suffix in (*ARRAYS, ".json") if outcome.status == "done" else ():
            path = out / f"{name}{suffix}"
            if path.exists():
                put(path, join(work.out, path.name), work.storage)
    except Allin1Error as error:
        return Outcome(song.track, error=error, status="failed", seconds=outcome.seconds)
    return replace(outcome, written=None)


def given_up(song: Song) -> Outcome:
    """The outcome of a song that has terminated its worker too often."""
    error = BackendError(
        f"The {MOST_DEATHS} workers that analysed it have died.",
        remedy="Where memory was short, give each worker more CPUs (-O ray.cpus), so that there are fewer.",
        path=song.address,
    )
    return Outcome(song.track, error=error, status="failed")


def _text_of(error: BaseException | None) -> str:
    """The traceback, which is lost where an error is pickled."""
    return "" if error is None else "".join(traceback.format_exception(error))
