"""Audio loaders: readers of audio formats that plugins add."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.rules import Name, Suffix, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AudioLoader:
    """A reader of an audio format, declared. Its code is imported once a file may be for it.

    A file is for it if its name ends in one of `suffixes`, or if `probe` says so. One of the two must be given.

    Attributes
    ----------
    name
        Letters and digits, in groups joined by single hyphens.
    target
        ``"package.module:function"``, a :class:`LoadAudio`.
    suffixes
        Suffixes of file names, such as ``(".mogg",)``; case does not matter. Folders are searched for them too.
    probe
        ``"package.module:function"``, which takes the first 4096 bytes of a file and returns whether the loader can read
        it. It is called for every file that comes to this loader's turn, whatever its name.
    needs
        What must be installed.
    before_core
        Whether it is asked before the core's own readers. Otherwise only for files that these cannot read.
    """

    name: Name
    target: Target
    suffixes: tuple[Suffix, ...] = ()
    probe: Target | None = None
    needs: Needs = field(default_factory=Needs)
    before_core: bool = False


@dataclass(frozen=True, eq=False)
class LoadedAudio:
    """An audio file that a loader has opened.

    Attributes
    ----------
    blocks
        Consecutive blocks of samples, float32 ``[n, channels]``, where full scale is 1. A generator keeps the memory
        small for long files; it is closed when reading ends early. The core resamples.
    rate
        Samples a second, 4,000 to 768,000.
    channels
        1 to 64.
    frames
        Samples for each channel, if that is known before reading; the core then warns if the file ends early.
    format
        Name of the format, for the result's provenance.
    warnings
        What is wrong with the file but not fatal, one sentence each.
    """

    blocks: Iterable[NDArray[np.float32]]
    rate: int
    channels: int
    frames: int | None = None
    format: str = ""
    warnings: tuple[str, ...] = ()


class LoadAudio(Protocol):
    """Opens an audio file."""

    def __call__(self, file: BinaryIO, path: Path, /) -> LoadedAudio | None:
        """Open a file, or return None to leave it to the next reader.

        Parameters
        ----------
        file
            The open file, at its beginning. The core closes it once the last block was read. The same file may be
            opened several times.
        path
            Its path, for libraries that open files themselves.

        Raises
        ------
        AudioError
            The file is damaged: the user reads the message. What else is raised is reported as a failure of the plugin.
        """
        ...
