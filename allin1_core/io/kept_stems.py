"""Stems of separated songs, kept as files and used again where nothing has changed.

``<folder>/<model>/<track>/{bass,drums,other,vocals}.wav``, as allin1 1.1.0 lays them out: stereo, 44 100 Hz, but 32-bit
floats, not 16-bit integers, so that stems used again are those that were separated, to the bit, and do not clip. Beyond 4 GB, where
WAV ends, they are RF64 under the same names. ``separation.json`` beside them says what they were made of and
how; without it, or where it says anything else, they are never used again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.errors import OutputError
from allin1_core.io.stems import StemFiles

log = logging.getLogger(__name__)

#: Folder of stems where none is named.
DEFAULT_FOLDER = Path("demix")

#: File beside the stems that says where they came from.
NOTE = "separation.json"

_SCHEMA = 1

#: Bytes of samples that a WAV file has room for, with some for what comes before them.
_MOST_IN_WAV = 2**32 - 2**16

_FRAME_BYTES = 2 * 4


@dataclass(frozen=True)
class StemsToKeep:
    """Where the stems of one song are kept, and what they are made of.

    Attributes
    ----------
    folder
        Folder of this song's stems.
    source
        The song.
    parameters
        How it is separated.
    """

    folder: Path
    source: Path
    parameters: DemixParameters

    def find(self, backend: str | None = None) -> StemFiles | None:
        """Look for stems of this song as it is now, separated with these parameters; None where there are none.

        Parameters
        ----------
        backend
            The backend or plugin that must have separated them; None for any.
        """
        note = self._read_note()
        if note is None or note.get("of") != self._of():
            return None
        if backend is not None and backend not in note.get("by", ()):
            return None
        files = _files(self.folder)
        try:
            sizes = {file.name: file.stat().st_size for file in files.paths}
        except OSError:
            return None
        return files if sizes == note.get("sizes") else None

    def check(self, *, overwrite: bool = False) -> None:
        """Find out before a separation whether its stems can be written.

        Raises
        ------
        OutputError
            The folder holds something else, and `overwrite` is not set; or no folder can be made there.
        """
        if not overwrite and self.folder.exists():
            note = self._read_note()
            source = None if note is None else note.get("of", {}).get("source")
            if source != self._of()["source"]:
                whose = "files of unknown origin" if source is None else f"the stems of {source}"
                raise OutputError(
                    f"holds {whose}, and those of {self.source} would take their place.",
                    remedy="Name another folder (--demix-dir), or allow overwriting (--overwrite).",
                    path=self.folder,
                )
        with _told(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder.parent, os.W_OK):
                raise PermissionError(13, "Permission denied")

    @contextmanager
    def writing(
        self, samples: Callable[[], int | None], by: tuple[str, ...]
    ) -> Iterator[Callable[[Stems], None]]:
        """Write stems as they come, under a temporary name; the folder takes its own when the block ends well.

        What was there is replaced then, and stays as it was when the block ends otherwise.

        Parameters
        ----------
        samples
            Length of the song, asked for when the first stems come; None where it is not known.
        by
            Backend, plugin and version that separate.

        Yields
        ------
        write
            Takes consecutive stems in NumPy arrays.

        Raises
        ------
        OutputError
            For any OSError: the disk is full, writing is not permitted.
        """
        temporary = self.folder.parent / f".{self.folder.name[:30]}-{secrets.token_hex(6)}.part"
        try:
            with _told(self.folder):
                temporary.mkdir(parents=True)
            with ExitStack() as opened:
                files: list[Any] = []

                def write(stems: Stems) -> None:
                    with _told(self.folder):
                        if not files:
                            files.extend(_open(temporary, samples(), opened))
                        for file, channels in zip(files, np.asarray(stems.samples), strict=True):
                            two = np.broadcast_to(channels, (2, channels.shape[-1]))
                            file.write(np.ascontiguousarray(two.T))

                yield write
                with _told(self.folder):
                    opened.close()
            with _told(self.folder):
                self._write_note(temporary, by)
                _replace(temporary, self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _of(self) -> dict[str, Any]:
        """What the stems are made of, and how."""
        source = self.source.absolute()
        try:
            found = source.stat()
        except OSError:
            return {"source": str(source)}
        return {
            "source": str(source),
            "size": found.st_size,
            "modified_ns": found.st_mtime_ns,
            "separation": dataclasses.asdict(self.parameters),
        }

    def _write_note(self, folder: Path, by: tuple[str, ...]) -> None:
        sizes = {file.name: file.stat().st_size for file in _files(folder).paths}
        note = {"schema": _SCHEMA, "of": self._of(), "by": by, "sizes": sizes}
        (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_known = isinstance(note, dict) and note.get("schema") == _SCHEMA
        return note if is_known and isinstance(note.get("of"), dict) else None


def stems_to_keep(
    folder: Path | None, track: str, source: Path, parameters: DemixParameters
) -> StemsToKeep:
    """Say where the stems of a track are kept: ``<folder>/<model>/<track>``."""
    root = DEFAULT_FOLDER if folder is None else folder
    return StemsToKeep(root.expanduser() / parameters.model / track, source, parameters)


def _files(folder: Path) -> StemFiles:
    return StemFiles(**{name: folder / f"{name}.wav" for name in STEMS})


def _open(folder: Path, samples: int | None, opened: ExitStack) -> list[Any]:
    import soundfile

    is_short = samples is not None and samples * _FRAME_BYTES <= _MOST_IN_WAV
    return [
        opened.enter_context(
            soundfile.SoundFile(
                str(path),
                "w",
                SAMPLE_RATE,
                channels=2,
                subtype="FLOAT",
                format="WAV" if is_short else "RF64",
            )
        )
        for path in _files(folder).paths
    ]


def _replace(temporary: Path, folder: Path) -> None:
    """Put a folder in the place of another, which no rename does at once."""
    earlier = folder.parent / f"{temporary.name}.old"
    if folder.exists():
        folder.rename(earlier)
    try:
        temporary.rename(folder)
    except OSError:
        with suppress(OSError):
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what libraries and the system raise into an error that says what to do."""
    import soundfile

    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", None) or error
        raise OutputError(
            f"The stems cannot be written: {str(reason).rstrip('.')}.",
            remedy="Check the free space and the permissions of its folder, or name another"
            " (--demix-dir).",
            path=folder,
        ) from error
