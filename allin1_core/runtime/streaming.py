"""Long songs in files: separated and transformed block by block, without the whole mix or stems in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, HOP_SAMPLES, LogSpectrogram
from allin1_core.errors import ContractError
from allin1_core.io.mix import MixFile, MixReader
from allin1_core.runtime.blocks import spectrogram_in_blocks

#: Minimum length of songs that are streamed; the mix and the stems of shorter ones take less than 1.1 GB.
STREAMED_FROM_S = 600.0

#: Frames of stems that are transformed at a time: half a minute.
STREAM_FRAMES = 30 * FRAMES_PER_SECOND

#: Seconds of a song that are read at a time.
READ_S = 10.0

T = TypeVar("T")
W = TypeVar("W")
S = TypeVar("S", bound=Mix | Stems)


class Work(Generic[W]):
    """Attributes time and exceptions to participants that call each other.

    Attributes
    ----------
    seconds
        Time of each participant, without that of those it called.
    culprit
        The participant that was active when an exception was first seen.
    """

    def __init__(self, first: W) -> None:
        self.seconds: dict[W, float] = defaultdict(float)
        self.culprit: W = first
        self._raised = False
        self._at_work: list[W] = []
        self._since = 0.0

    @contextmanager
    def of(self, who: W) -> Iterator[None]:
        """Attribute what happens inside to `who`, and then to the previous participant again."""
        self._count()
        self._at_work.append(who)
        try:
            yield
        except BaseException:
            if not self._raised:
                self.culprit, self._raised = who, True
            raise
        finally:
            self._count()
            self._at_work.pop()

    def each(self, who: W, items: Iterator[T]) -> Iterator[T]:
        """Yield `items`, and attribute the creation of each to `who`."""
        while True:
            with self.of(who):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _count(self) -> None:
        now = time.perf_counter()
        if self._at_work:
            self.seconds[self._at_work[-1]] += now - self._since
        self._since = now


def reader_of(file: MixFile) -> MixReader:
    """Create the reader of a song in a file."""
    return MixReader(file, READ_S)


def is_long_song(mix: MixFile) -> bool:
    """Whether a song is too long to be read at once, or its file does not state the length."""
    length = mix.duration_s
    return length is None or length >= STREAMED_FROM_S


def stream(
    reader: MixReader,
    separate: Callable[[Callable[[], Iterator[Mix]]], Iterator[Stems]],
    transform: Callable[[Stems], LogSpectrogram],
    work: Work[Any],
    who: tuple[Any, Any, Any],
    keep: Callable[[Stems], None] | None = None,
) -> LogSpectrogram:
    """Separate a song and transform its stems, half a minute at a time.

    Parameters
    ----------
    reader
        Reads the song.
    separate
        Yields consecutive stems in NumPy arrays; it may start to read the song more than once.
    transform
        Computes the spectrogram of stems in NumPy arrays.
    work
        Attributes time and exceptions.
    who
        The participants that read, separate and transform.
    keep
        Called with the stems, in order.

    Raises
    ------
    ContractError
        The stems differ from the song in length.
    """
    reads, separates, transforms = who

    def blocks() -> Iterator[Mix]:
        return work.each(reads, reader.blocks())

    def checked() -> Iterator[Stems]:
        count = 0
        for stems in pieces:
            with work.of(separates):
                stems.validate()
                count += stems.samples.shape[-1]
            if keep is not None:
                with work.of(reads):
                    keep(stems)
            yield stems
        with work.of(separates):
            if reader.samples is not None and count != reader.samples:
                raise ContractError(
                    f"Its stems are {count / SAMPLE_RATE:.3f} s long; the song has"
                    f" {reader.samples / SAMPLE_RATE:.3f} s."
                )

    def transformed(stems: Stems) -> LogSpectrogram:
        with work.of(transforms):
            return transform(stems)

    with ExitStack() as stack:
        with work.of(separates):
            stems = separate(blocks)
        if hasattr(stems, "close"):
            # Now, and not when the traceback of an exception is freed.
            stack.callback(stems.close)
        pieces = work.each(separates, stems)
        return spectrogram_in_blocks(regrouped(checked(), STREAM_FRAMES), transformed)


def regrouped(pieces: Iterator[S], frames: int) -> Iterator[S]:
    """Regroup consecutive pieces of any length into blocks of `frames` hops; the last may be shorter."""
    size = frames * HOP_SAMPLES
    parts: list[Any] = []
    held = 0
    kind: type[S] | None = None
    for each in pieces:
        kind = type(each)
        parts.append(np.asarray(each.samples))
        held += parts[-1].shape[-1]
        if held < size:
            continue
        joined = np.concatenate(parts, axis=-1)
        whole = held - held % size
        # A copy, so that the remainder does not keep the whole array alive.
        parts, held = [joined[..., whole:].copy()], held - whole
        for start in range(0, whole, size):
            yield kind(joined[..., start : start + size])
    if held and kind is not None:
        yield kind(np.concatenate(parts, axis=-1))
