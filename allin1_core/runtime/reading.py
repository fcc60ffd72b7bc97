"""Reading the input of a run, whole or in blocks, and describing the files for the provenance of a result."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.io.audio import AudioInfo
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles, read_stems, stem_blocks
from allin1_core.runtime.streaming import reader_of, regrouped


@dataclass(frozen=True)
class FilesRead:
    """Information about files that were read.

    Attributes
    ----------
    kind
        ``mix`` or ``stems``.
    files
        Information about each.
    warnings
        Sentences about them for the user.
    """

    kind: str
    files: tuple[AudioInfo, ...]
    warnings: tuple[str, ...]

    @property
    def provenance(self) -> dict[str, Any]:
        """Description of the files in a result."""
        return {"kind": self.kind, "files": [_described(info) for info in self.files]}


class ReadWhole(Protocol):
    """Reads a song or its stems into memory, like :func:`read_whole`."""

    def __call__(self, file: MixFile | StemFiles, /) -> tuple[Mix | Stems, FilesRead]:
        """Read `file`."""
        ...


def read_whole(file: MixFile | StemFiles) -> tuple[Mix | Stems, FilesRead]:
    """Read a song or its stems into memory.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    if isinstance(file, MixFile):
        mix, info = file.read()
        return mix, about_mix(info)
    stems, infos, warnings = read_stems(file)
    return stems, _about_stems(infos, warnings)


def read_in_blocks(
    file: MixFile | StemFiles, frames: int
) -> Generator[Mix | Stems, None, FilesRead]:
    """Read a song or its stems in blocks of `frames` hops, the last of which may be shorter.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    if isinstance(file, MixFile):
        reader = reader_of(file)
        yield from regrouped(reader.blocks(), frames)
        assert reader.info is not None, "the song was read to its end"
        return about_mix(reader.info)
    blocks = stem_blocks(file, frames)
    while True:
        try:
            samples = next(blocks)
        except StopIteration as end:
            return _about_stems(*end.value)
        yield Stems(samples)


def about_mix(info: AudioInfo) -> FilesRead:
    """Information about the file of a song."""
    return FilesRead("mix", (info,), tuple(info.warnings))


def _about_stems(infos: Sequence[AudioInfo], warnings: Sequence[str]) -> FilesRead:
    return FilesRead("stems", tuple(infos), tuple(warnings))


def _described(info: AudioInfo) -> dict[str, Any]:
    return {
        "path": str(info.path),
        "format": f"{info.format} {info.subtype}".strip(),
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "frames": info.frames,
        "decoder": info.decoder,
    }
