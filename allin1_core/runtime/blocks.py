"""The spectrogram and the logits of long songs, block by block, in bounded memory.

A frame of the spectrogram depends on the 2048 samples around it and on nothing else, so a block that is given three
hops more on each side, whose frames are then dropped, has the frames of the whole. For the views of a mix it takes the 15
hops more that the running median reaches. A frame of the logits depends on as much of the spectrogram as the model's
card says. What may differ is the last bit of a product.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import (
    HOP_SAMPLES,
    MEDIAN_REACH,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)

#: Frames of context that make the samples of half a window.
CONTEXT_FRAMES = -(-WINDOW_SAMPLES // (2 * HOP_SAMPLES))

#: The same for the views of a mix: the samples of half a window, beyond the frames of half a median's window.
MIX_CONTEXT_FRAMES = MEDIAN_REACH + CONTEXT_FRAMES

#: What a spectrogram is made from.
A = TypeVar("A", Mix, Stems)


def context_frames(audio: Mix | Stems) -> int:
    """Hops on either side that the spectrogram of a block of `audio` needs."""
    return MIX_CONTEXT_FRAMES if isinstance(audio, Mix) else CONTEXT_FRAMES


def spectrogram_in_blocks(
    blocks: Iterable[A], transform: Callable[[A], LogSpectrogram]
) -> LogSpectrogram:
    """Apply `transform` to consecutive blocks and join the frames.

    Parameters
    ----------
    blocks
        Consecutive stems, or parts of a mix, in NumPy arrays, each but the last a whole number of hops long, and at
        least :func:`context_frames` hops.
    transform
        The spectrogram of a block, in NumPy arrays.
    """
    parts = []
    for block, skip, frames in _with_context(blocks):
        spectrogram = transform(block).frames
        parts.append(np.array(spectrogram[:, skip : skip + frames]))
    return LogSpectrogram(np.concatenate(parts, axis=1))


def _with_context(blocks: Iterable[A]) -> Iterator[tuple[A, int, int]]:
    """Each block with its neighbours' edges, the frames to skip, and its own frames."""
    before: np.ndarray | None = None
    current: A | None = None
    for following in blocks:
        if current is not None:
            edge = context_frames(following) * HOP_SAMPLES
            yield _joined(before, current, np.asarray(following.samples)[..., :edge])
            before = np.asarray(current.samples)[..., -edge:].copy()
        current = following
    if current is not None:
        yield _joined(before, current, None)


def _joined(before: np.ndarray | None, current: A, after: np.ndarray | None) -> tuple[A, int, int]:
    own = np.asarray(current.samples)
    parts = [part for part in (before, own, after) if part is not None]
    skip = 0 if before is None else before.shape[-1] // HOP_SAMPLES
    samples = own if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return type(current)(samples), skip, frame_count(own.shape[-1])


def logits_in_blocks(
    frames: int, network: Callable[[slice], Logits], *, context: int, length: int
) -> Logits:
    """Apply `network` to overlapping blocks of a spectrogram and join the logits.

    Parameters
    ----------
    frames
        Frames of the whole.
    network
        The logits of a range of the spectrogram's frames, in NumPy arrays.
    context
        Frames on either side that the logits of a frame depend on.
    length
        Most frames of a block without its context.
    """
    count = -(-frames // length)
    edges = [frames * i // count for i in range(count + 1)]
    parts: dict[str, list[Any]] = {name: [] for name in Logits.ARRAYS}
    for first, last in itertools.pairwise(edges):
        start = max(0, first - context)
        logits = network(slice(start, min(frames, last + context)))
        for name, arrays in parts.items():
            array = getattr(logits, name)
            if array is not None:
                # Copied, so that what the context gave is let go of.
                arrays.append(_frames_of(array, first - start, last - start).copy())
    joined = {name: np.concatenate(a, axis=_axis(a[0])) for name, a in parts.items() if a}
    return Logits(**joined)


def _axis(array: np.ndarray) -> int:
    """The axis of frames: the only one, or the second."""
    return min(1, array.ndim - 1)


def _frames_of(array: np.ndarray, first: int, last: int) -> np.ndarray:
    return array[(slice(None),) * _axis(array) + (slice(first, last),)]
