"""Stems of separated songs, kept as files and reused if nothing has changed.

The layout is that of allin1 1.1.0, ``<folder>/<model>/<track>/{bass,drums,other,vocals}.wav``: stereo, 44 100 Hz, but as
32-bit floats instead of 16-bit integers, so that reused stems are bit-identical and never clipped. Files over 4 GB, the
limit of WAV, are RF64 files of the same name. ``separation.json`` next to them states their input and parameters; stems
without it, or with different ones, are never reused.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.options import OptionValue
from allin1_core.errors import AudioError, OutputError
from allin1_core.io import documents
from allin1_core.io.atomic import (
    check_folder,
    flush_made,
    make_folders,
    output_errors,
    remove_empty,
    write_error,
)
from allin1_core.io.documents import DocumentError
from allin1_core.io.fingerprint import Fingerprint, fingerprint
from allin1_core.io.known_digests import KnownDigests
from allin1_core.io.leftovers import Part, exists, flush_file, new_folder
from allin1_core.io.names import portable_name
from allin1_core.io.own_files import SEPARATION_NOTE
from allin1_core.io.replacing import replace_together, restore, tidy
from allin1_core.io.stems import StemFiles
from allin1_core.io.wav import StereoWriter
from allin1_core.paths import expanded
from allin1_core.text import shown

#: Default folder of kept stems.
DEFAULT_FOLDER = Path("demix")

#: File next to the stems that states their origin.
NOTE = SEPARATION_NOTE

_SCHEMA = 2

_FRAME_BYTES = 2 * 4


#: Files in a folder of kept stems. A folder with any other file is never replaced.
_OWN_FILES = frozenset((*(f"{name}.wav" for name in STEMS), NOTE))

#: Space in bytes for the note and the headers.
_LEAST_SPACE = 2**20


@dataclass
class StemsToKeep:
    """The location, input and parameters of the kept stems of one song.

    Attributes
    ----------
    folder
        Folder of this song's stems.
    source
        The song.
    parameters
        Parameters of the separation.
    taken
        Fingerprint of the song before it was read; None if it cannot be read.
    options
        The user's values of the options that each plugin declares.
    problem
        Why the stems could not be kept, if writing them failed.
    """

    folder: Path
    source: Path
    parameters: DemixParameters
    taken: Fingerprint | None
    options: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    problem: OutputError | None = field(default=None, init=False)

    def find(self, backend: str | None = None) -> StemFiles | None:
        """Find stems of this song, unchanged and separated with these parameters; None if there are none.

        Parameters
        ----------
        backend
            The backend or plugin, or ``plugin/backend``, that must have separated them; None for any.
        """
        tidy(self.folder.parent)
        restore(self.folder)
        note = _read_note(self.folder)
        if note is None or self.taken is None or note.content != self.taken.content:
            return None
        if note.separation != dataclasses.asdict(self.parameters):
            return None
        if backend is not None and backend not in (*note.by, "/".join(reversed(note.by[:2]))):
            return None
        if note.options != self._options_of(note.by):
            return None
        files = _files(self.folder)
        try:
            sizes = {file.name: file.stat().st_size for file in files.paths}
        except OSError:
            return None
        return files if sizes == note.sizes else None

    def _options_of(self, by: tuple[str, ...]) -> dict[str, OptionValue]:
        """The user's options of the plugin in `by`, which is backend, plugin and version."""
        return {
            name: value
            for plugin in by[1:2]
            for name, value in self.options.get(plugin, {}).items()
        }

    def check(self, *, overwrite: bool = False, seconds: float | None = None) -> None:
        """Check before a separation whether its stems can be written, without creating anything.

        Parameters
        ----------
        overwrite
            Whether stems of another song, or of unknown origin, may be replaced.
        seconds
            Length of the song, if known, to check the free space.

        Raises
        ------
        OutputError
            The folder contains something else, it cannot be created, or the disk is full.
        """
        tidy(self.folder.parent)
        restore(self.folder)
        self._refuse_foreign_files()
        note = _read_note(self.folder)
        with output_errors(self.folder):
            is_taken = exists(self.folder) and (note is None or not self._is_of_this_song(note))
        if is_taken and not overwrite:
            whose = (
                "files of unknown origin" if note is None else f"the stems of {shown(note.source)}"
            )
            raise OutputError(
                f"contains {whose}, which those of {shown(self.source)} would replace.",
                remedy="Choose another folder (--demix-dir), or allow overwriting (--overwrite).",
                path=self.folder,
            )
        frames = 0 if seconds is None else round(seconds * SAMPLE_RATE)
        check_folder(self.folder.parent, frames * _FRAME_BYTES * len(STEMS) + _LEAST_SPACE)

    @contextmanager
    def writing(
        self, samples: Callable[[], int | None], by: tuple[str, ...]
    ) -> Iterator[Callable[[Stems], None]]:
        """Write stems piece by piece to a temporary folder, which gets its final name when the block succeeds.

        An existing folder is replaced then, and is unchanged if the block fails. If stems cannot be written, or the song
        has changed, the separation continues: the written files are removed, and :attr:`problem` states the reason.

        Parameters
        ----------
        samples
            Returns the length of the song, or None if unknown; called when the first stems are written.
        by
            Backend, plugin and version of the separator.

        Yields
        ------
        write
            Function that takes consecutive stems in NumPy arrays.
        """
        self.problem = None
        writer = _Writer(self, samples)
        try:
            yield writer.write
            writer.finish(by)
        finally:
            writer.discard()

    def _refuse_foreign_files(self) -> None:
        """Raise an error if the folder has files that this package did not write."""
        foreign = _foreign_file(self.folder)
        if foreign is not None:
            raise OutputError(
                "is not a folder, and stems would replace it."
                if foreign == self.folder
                else f"contains {shown(foreign.name)}, which is not a kept stem; such a folder is never replaced.",
                remedy="Move it away, or choose another folder (--demix-dir).",
                path=self.folder,
            )

    def _is_of_this_song(self, note: _Note) -> bool:
        is_same_content = self.taken is not None and note.content == self.taken.content
        return is_same_content or note.source == str(self.source.absolute())


class _Writer:
    """Writes the stems of one song under a temporary name."""

    def __init__(self, kept: StemsToKeep, samples: Callable[[], int | None]) -> None:
        self._kept = kept
        self._samples = samples
        self._made: list[Path] = []
        self._part: Part | None = None
        self._files: list[StereoWriter] = []

    def write(self, stems: Stems) -> None:
        """Append to the four files."""
        if self._kept.problem is not None:
            return
        with self._noting_problems():
            if self._part is None:
                folder = self._kept.folder
                make_folders(folder.parent, self._made)
                self._part = new_folder(folder)
                samples = self._samples()
                for path in _files(self._part.path).paths:
                    self._files.append(StereoWriter(path, SAMPLE_RATE, samples))
            for file, channels in zip(self._files, np.asarray(stems.samples), strict=True):
                file.write(channels)

    def finish(self, by: tuple[str, ...]) -> None:
        """Give the folder its final name, unless there was a problem."""
        kept, part = self._kept, self._part
        if part is None or kept.problem is not None:
            return
        with self._noting_problems():
            for file in self._files:
                file.close()
            if kept.taken is None or not kept.taken.still_holds():
                kept.problem = OutputError(
                    "The stems were not kept: the song changed while it was separated.",
                    remedy="Try again when it is complete.",
                    path=kept.source,
                )
                return
            kept._refuse_foreign_files()
            note = _Note(
                source=str(kept.source.absolute()),
                content=kept.taken.content,
                separation=dataclasses.asdict(kept.parameters),
                by=by,
                sizes={file.name: file.stat().st_size for file in _files(part.path).paths},
                options=kept._options_of(by),
            )
            note.write(part.path)
            for name in _OWN_FILES:
                flush_file(part.path / name)
            part.flush()
            flush_made(self._made)
            replace_together([(part, kept.folder)])
            self._made.clear()

    def discard(self) -> None:
        """Remove files that did not get their final name."""
        for file in self._files:
            with suppress(OSError):
                file.close()
        if self._part is not None:
            self._part.discard()
        remove_empty(self._made)

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        kept = self._kept
        try:
            yield
        except OutputError as error:
            kept.problem = error
        except OSError as error:
            what = "The stems cannot be written"
            kept.problem = write_error(error, kept.folder, what, option="--demix-dir")
        if kept.problem is not None:
            # Free the space for the result.
            self.discard()


@dataclass(frozen=True)
class _Note:
    """The content of :data:`NOTE`."""

    source: str
    content: str
    separation: dict[str, Any]
    by: tuple[str, ...]
    sizes: dict[str, int]
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        content = {"schema": _SCHEMA, **dataclasses.asdict(self)}
        (folder / NOTE).write_text(
            json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="ascii"
        )


def _read_note(folder: Path) -> _Note | None:
    """Read the note of kept stems; None if there is none, or it is invalid."""
    try:
        content = documents.read_json(folder / NOTE)
        if documents.member(content, "schema") != _SCHEMA:
            return None
        note: _Note = documents.read_as(_Note, content, "the note")
        return note
    except (OSError, DocumentError):
        return None


def _foreign_file(folder: Path) -> Path | None:
    """A file in `folder` that does not belong to kept stems, or `folder` itself if it is not a folder; otherwise None."""
    with output_errors(folder):
        if not exists(folder):
            return None
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return folder
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in _OWN_FILES or entry.is_dir(follow_symlinks=False):
                    return Path(entry.path)
    return None


def stems_to_keep(
    folder: Path | None,
    track: str,
    source: Path,
    parameters: DemixParameters,
    options: Mapping[str, Mapping[str, OptionValue]] | None = None,
    known: KnownDigests | None = None,
) -> StemsToKeep:
    """Return where the stems of a track are kept: ``<folder>/<model>/<track>``.

    Call this before the song is read: it takes the fingerprint of the song, and stems are kept only if that is the same
    at the end. `known` as for :func:`~allin1_core.io.fingerprint.fingerprint`.
    """
    root = DEFAULT_FOLDER if folder is None else folder
    try:
        taken = fingerprint(source, known)
    except AudioError:  # reported when the song is read
        taken = None
    path = expanded(root) / portable_name(parameters.model) / portable_name(track)
    return StemsToKeep(path, source, parameters, taken, options or {})


def _files(folder: Path) -> StemFiles:
    return StemFiles(**{name: folder / f"{name}.wav" for name in STEMS})
