"""Audio loaders: readers of audio formats that plugins provide."""

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
    """Declares a reader of an audio format. Its code is only imported when a file may be in this format.

    A file may be in the format if its name ends in one of `suffixes`, or if `probe` returns True. At least one of the
    two must be given.

    Attributes
    ----------
    name
        Letters and digits, in groups joined by single hyphens.
    target
        ``"package.module:function"``, a :class:`LoadAudio`.
    suffixes
        Suffixes of file names, such as ``(".mogg",)``; case is ignored. They are also used for searching folders.
    probe
        ``"package.module:function"``, which takes the first 4096 bytes of a file and returns whether the loader can
        read it. It is called for every file that is passed to this loader, whatever its name.
    needs
        What must be installed.
    before_core
        Whether it takes precedence over the core's own readers, rather than only reading files that these cannot.
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
        Consecutive blocks of samples, float32 ``[n, channels]``, with full scale 1. A generator keeps memory usage low
        for long files; it is closed when reading ends early. The core resamples.
    rate
        Sample rate in Hz, 4,000 to 768,000.
    channels
        Number of channels, 1 to 64.
    frames
        Number of samples per channel, if known before reading; the core then warns if the file ends early.
    format
        Name of the format, for the result's provenance.
    warnings
        Problems of the file that are not fatal, one sentence each.
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
            The open file, positioned at its beginning. The core closes it after the last block was read. The same file
            may be opened more than once.
        path
            Its path, for libraries that open files themselves.

        Raises
        ------
        AudioError
            The file is damaged; the message is shown to the user. Other exceptions are reported as failures of the
            plugin.
        """
        ...
