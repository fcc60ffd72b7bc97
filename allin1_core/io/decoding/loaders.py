"""Audio readers that plugins add. Like codecs, they are global to the process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from allin1_core.contracts.audio_loader import LoadedAudio
from allin1_core.contracts.rules import show
from allin1_core.errors import PLUGIN_FAILURES, AudioError, in_full
from allin1_core.io.decoding.reader import (
    AudioInfo,
    Block,
    DecodingError,
    Reader,
    check_shape,
)
from allin1_core.io.decoding.source import Source

log = logging.getLogger(__name__)

#: Number of bytes from the start of a file that are passed to a probe.
HEAD = 4096


@dataclass(frozen=True)
class Loader:
    """An audio loader of a plugin, ready to be called; see :class:`~allin1_core.contracts.audio_loader.AudioLoader`.

    Attributes
    ----------
    plugin, name, version
        Name of the plugin, name of the loader, and version of the plugin's distribution.
    load
        Opens a file.
    suffixes, probe, before_core
        As in :class:`~allin1_core.contracts.audio_loader.AudioLoader`.
    """

    plugin: str
    name: str
    version: str
    load: Callable[[BinaryIO, Path], Any]
    suffixes: tuple[str, ...] = ()
    probe: Callable[[bytes], object] | None = None
    before_core: bool = False

    def is_for(self, source: Source) -> bool:
        """Whether it reads a file, according to its name or its first bytes."""
        if source.path.name.lower().endswith(tuple(map(str.lower, self.suffixes))):
            return True
        if self.probe is None:
            return False
        try:
            return bool(self.probe(source.read_at(0, HEAD)))
        except PLUGIN_FAILURES as error:
            log.warning("%s could not probe %s: %s", self, source.path, in_full(error))
            return False

    def __str__(self) -> str:
        return f"The audio loader {self.name} of plugin {self.plugin}"


@dataclass
class Attempt:
    """The reader of a file, if a loader accepted it, and a sentence for each loader that failed."""

    reader: Reader | None = None
    failures: list[str] = field(default_factory=list)


_loaders: tuple[Loader, ...] = ()


def use_loaders(loaders: Iterable[Loader]) -> None:
    """Use these loaders, in this order, and no others from now on."""
    global _loaders
    _loaders = tuple(loaders)


def loader_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the files that the loaders read; only the last part of compound ones."""
    return frozenset(Path(f"x{s}").suffix.lower() for one in _loaders for s in one.suffixes)


def may_have_loader(paths: Iterable[Path]) -> bool:
    """Whether a loader might read one of these files, according to their names; a probe might accept any file."""
    return any(
        one.probe is not None or path.name.lower().endswith(tuple(map(str.lower, one.suffixes)))
        for one in _loaders
        for path in paths
    )


def open_by_loader(source: Source, *, before_core: bool) -> Attempt:
    """Try to open a file with the loaders that come before, or after, the core's readers.

    Raises
    ------
    AudioError
        A loader reports that the file is damaged.
    """
    attempt = Attempt()
    for loader in _loaders:
        if loader.before_core != before_core or not loader.is_for(source):
            continue
        try:
            attempt.reader = open_with(loader, source)
        except AudioError:
            raise
        except PLUGIN_FAILURES as error:
            attempt.failures.append(f"{loader} failed: {in_full(error)}.")
            log.debug("%s failed on %s", loader, source.path, exc_info=True)
        if attempt.reader is not None:
            break
    return attempt


def open_with(loader: Loader, source: Source) -> Reader | None:
    """Open a file with one loader; None if the loader cannot handle it. Exceptions of the loader are propagated."""
    file = source.path.open("rb")
    reader = None
    try:
        loaded = loader.load(file, source.path)
        if loaded is not None:
            reader = _LoaderReader(source, loader, _checked(loaded, source.path), file)
    finally:
        if reader is None:
            file.close()
    return reader


def _checked(loaded: Any, path: Path) -> LoadedAudio:
    if not isinstance(loaded, LoadedAudio):
        raise TypeError(f"it returned {show(loaded)} instead of LoadedAudio or None")
    for name in ("rate", "channels"):
        if not isinstance(getattr(loaded, name), int):
            raise TypeError(f"its {name} is {show(getattr(loaded, name))} instead of an integer")
    if not (loaded.frames is None or (isinstance(loaded.frames, int) and loaded.frames >= 0)):
        raise TypeError(f"its frames are {show(loaded.frames)} instead of an integer or None")
    check_shape(path, loaded.rate, loaded.channels)
    return loaded


class _LoaderReader:
    """A file that a loader has opened; see :class:`~allin1_core.io.decoding.reader.Reader`."""

    promised_s: float | None
    guessed_frames: int | None = None

    def __init__(self, source: Source, loader: Loader, loaded: LoadedAudio, file: BinaryIO) -> None:
        self.source = source
        self.gaps: list[tuple[float, float]] = []
        self._loader = loader
        self._loaded = loaded
        self._file = file
        frames, rate = loaded.frames, loaded.rate
        self.promised_s = None if frames is None else frames / rate
        self.info = AudioInfo(
            path=source.path,
            sample_rate=rate,
            channels=loaded.channels,
            frames=frames,
            duration_s=self.promised_s,
            format=str(loaded.format),
            subtype="",
            decoder=f"{loader.plugin}/{loader.name} {loader.version}".strip(),
            warnings=tuple(f"{source.path}: {text}" for text in loaded.warnings),
        )

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the loader, after checking them."""
        rate, channels = self._loaded.rate, self._loaded.channels
        try:
            for samples in self._loaded.blocks:
                shape: tuple[int, ...] = getattr(samples, "shape", ())
                if not isinstance(samples, np.ndarray) or samples.dtype != np.float32:
                    raise TypeError(f"it yielded {show(samples)} instead of float32 NumPy arrays")
                if len(shape) != 2 or shape[1] != channels:
                    raise ValueError(
                        f"it yielded the shape {list(shape)} instead of [n, {channels}]"
                    )
                if len(samples):
                    yield Block(samples.copy(), rate)  # the loader may reuse its array
        except AudioError:
            raise
        except PLUGIN_FAILURES as error:
            log.debug("%s failed on %s", self._loader, self.source.path, exc_info=True)
            raise DecodingError(f"{self._loader} failed: {in_full(error)}") from error

    def close(self) -> None:
        """Close the file and the loader's generator."""
        close = getattr(self._loaded.blocks, "close", None)
        if close is not None:
            with contextlib.suppress(*PLUGIN_FAILURES):
                close()
        self._file.close()
        self.source.close()
