"""The spectrogram and the logits of long songs, block by block, in bounded memory.

A frame of the spectrogram depends only on the 2048 samples around it. A block that is extended by three hops on each
side, whose frames are then discarded, therefore has the same frames as the whole song. For the views of a mix, the
extension includes the 15 hops on each side that the running median covers. A frame of the logits depends on as much of
the spectrogram as the model's card states. Only the last bit of a product may differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from allin1_core.contracts.arrays import length_of, part_of
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import (
    FRAMES_PER_SECOND,
    HOP_SAMPLES,
    MEDIAN_REACH,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)

S = TypeVar("S", bound=Mix | Stems)

#: Frames of context that cover half a window of samples.
CONTEXT_FRAMES = -(-WINDOW_SAMPLES // (2 * HOP_SAMPLES))

#: The same for the views of a mix, plus half the window of the running median.
MIX_CONTEXT_FRAMES = MEDIAN_REACH + CONTEXT_FRAMES


#: Frames that are allocated at a time: five minutes, 37 MiB. The C library returns arrays of at least 32 MiB to the system
#: as soon as they are freed.
CHUNK_FRAMES = 5 * 60 * FRAMES_PER_SECOND


def context_frames(audio: Mix | Stems) -> int:
    """Number of hops on either side that the spectrogram of a block of `audio` needs as context."""
    return MIX_CONTEXT_FRAMES if isinstance(audio, Mix) else CONTEXT_FRAMES


def spectrogram_in_blocks(
    blocks: Iterable[S], transform: Callable[[S], LogSpectrogram]
) -> LogSpectrogram:
    """Apply `transform` to consecutive blocks, and join the frames.

    Parameters
    ----------
    blocks
        Consecutive parts of stems or of a mix, in NumPy arrays. Each except the last is a whole number of hops long,
        and at least :func:`context_frames` hops.
    transform
        Computes the spectrogram of a block in NumPy arrays.
    """
    joined = _Frames()
    for block, skip, frames in _with_context(blocks):
        joined.append(part_of(transform(block), skip, skip + frames).frames)
    return LogSpectrogram(joined.whole())


class _Frames:
    """Joins frames ``[4, T, 81]`` of unknown total length, which are in memory once, as the spectrogram may be large.

    They are collected in arrays of :data:`CHUNK_FRAMES` frames, and each of these is freed once it has been copied.
    """

    def __init__(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._length = 0

    def append(self, frames: np.ndarray) -> None:
        done = 0
        while done < frames.shape[1]:
            begun = self._length % CHUNK_FRAMES
            if begun == 0:
                shape = (frames.shape[0], CHUNK_FRAMES, *frames.shape[2:])
                self._chunks.append(np.empty(shape, frames.dtype))
            count = min(frames.shape[1] - done, CHUNK_FRAMES - begun)
            self._chunks[-1][:, begun : begun + count] = frames[:, done : done + count]
            done += count
            self._length += count

    def whole(self) -> np.ndarray:
        """All frames; this object is empty afterwards."""
        shape = list(self._chunks[0].shape)
        shape[1] = self._length
        # Its pages take memory only once they are written.
        joined = np.empty(shape, self._chunks[0].dtype)
        while self._chunks:
            first = (len(self._chunks) - 1) * CHUNK_FRAMES
            chunk = self._chunks.pop()
            joined[:, first : first + CHUNK_FRAMES] = chunk[:, : self._length - first]
            del chunk
        return joined


def _with_context(blocks: Iterable[S]) -> Iterator[tuple[S, int, int]]:
    """Yield each block with the edges of its neighbours, the number of frames to skip, and its own number of frames."""
    before: np.ndarray | None = None
    current: S | None = None
    for following in blocks:
        if current is not None:
            edge = context_frames(following) * HOP_SAMPLES
            yield _joined(before, current, np.asarray(following.samples)[..., :edge])
            before = np.array(current.samples[..., -edge:])
        current = following
    if current is not None:
        yield _joined(before, current, None)


def _joined(before: np.ndarray | None, current: S, after: np.ndarray | None) -> tuple[S, int, int]:
    parts = [part for part in (before, np.asarray(current.samples), after) if part is not None]
    skip = 0 if before is None else before.shape[-1] // HOP_SAMPLES
    block = current if len(parts) == 1 else replace(current, samples=np.concatenate(parts, axis=-1))
    return block, skip, frame_count(length_of(current))


def logits_in_blocks(
    frames: int, network: Callable[[slice], Logits], *, context: int, length: int
) -> Logits:
    """Apply `network` to overlapping blocks of a spectrogram, and join the logits.

    Parameters
    ----------
    frames
        Number of frames in the whole spectrogram.
    network
        Computes the logits of a range of frames in NumPy arrays.
    context
        Number of frames on either side on which the logits of a frame depend.
    length
        Maximum number of frames in a block without its context.
    """
    count = -(-frames // length)
    edges = [frames * i // count for i in range(count + 1)]
    parts: dict[str, list[Any]] = {name: [] for name in Logits.ARRAYS}
    for first, last in itertools.pairwise(edges):
        start = max(0, first - context)
        logits = network(slice(start, min(frames, last + context)))
        logits = part_of(logits, first - start, last - start)
        for name, arrays in parts.items():
            array = getattr(logits, name)
            if array is not None:
                # Copied, so that the arrays that include the context are freed.
                arrays.append(array.copy())
    axes = Logits.TIME_AXES
    joined = {name: np.concatenate(a, axis=axes[name]) for name, a in parts.items() if a}
    return Logits(**joined)
