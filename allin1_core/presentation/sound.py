"""Songs with clicks on beats and downbeats and a riser before each boundary of sections, or these sounds alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import OutputError
from allin1_core.io.atomic import atomic_path
from allin1_core.presentation.formats import SOUNDS
from allin1_core.presentation.source import mix_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pitches of allin1 1.1.0, in hertz.
BEAT_HZ, DOWNBEAT_HZ = 1500.0, 3000.0

_CLICK_S, _RISER_S, _DROP_S = 0.1, 4.0, 0.5

#: Levels, such that a song at full scale with a click does not clip.
_SONG, _CLICK, _RISER = 0.6, 0.35, 0.05

#: Limit of WAV files, whose lengths have 32 bits, with a margin.
_MOST_WAV_BYTES = 2**32 - 2**16


@dataclass(frozen=True)
class _Event:
    start: int
    sound: NDArray[np.float32]


def sonify_blocks(
    result: AnalysisResult, *, clicks_only: bool = False
) -> Iterator[NDArray[np.float32]]:
    """Yield the song with its clicks, block by block.

    Parameters
    ----------
    result
        The result; its audio is read from its original path.
    clicks_only
        Leave out the song itself. The length is still that of the audio.

    Yields
    ------
    ndarray
        float32 ``[2, n]``, 44 100 Hz, within −1 and 1. A click begins at the sample nearest to its beat.

    Raises
    ------
    AudioError
        The audio cannot be read.
    """
    events = _events(result)
    first, pending = 0, 0
    for block in mix_blocks(result):
        out = np.zeros_like(block) if clicks_only else block * np.float32(_SONG)
        stop = first + block.shape[1]
        while pending < len(events) and events[pending].start < stop:
            pending += 1
        remaining = []
        for event in events[:pending]:
            end = event.start + len(event.sound)
            here = slice(max(event.start, first), min(end, stop))
            out[:, here.start - first : here.stop - first] += event.sound[
                here.start - event.start : here.stop - event.start
            ]
            if end > stop:
                remaining.append(event)
        # Events in the past are dropped, so that the cost is linear in the length.
        events = remaining + events[pending:]
        pending = len(remaining)
        first = stop
        yield np.clip(out, -1, 1)


def sonify(result: AnalysisResult, *, clicks_only: bool = False) -> tuple[NDArray[np.float32], int]:
    """Return the whole song with its clicks.

    Parameters
    ----------
    result, clicks_only
        As for :func:`sonify_blocks`.

    Returns
    -------
    samples
        float32 ``[2, n]``.
    rate
        44100.
    """
    blocks = list(sonify_blocks(result, clicks_only=clicks_only))
    samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((2, 0), np.float32)
    return samples, SAMPLE_RATE


def check_sound_path(path: Path) -> None:
    """Raise :class:`~allin1_core.errors.OutputError` unless the suffix of `path` is that of a sound format."""
    if path.suffix.lower() not in SOUNDS:
        raise OutputError(
            f"Sound cannot be written as {path.suffix or '(no suffix)'}.",
            remedy=f"Use one of the suffixes {', '.join(SOUNDS)}.",
            path=path,
        )


def write_sonification(
    result: AnalysisResult,
    path: str | PathLike[str],
    *,
    clicks_only: bool = False,
) -> None:
    """Write the song with its clicks, in bounded memory and atomically.

    Parameters
    ----------
    result, clicks_only
        As for :func:`sonify_blocks`.
    path
        The file; its suffix determines the format: WAV, FLAC, OGG, Opus or MP3.

    Raises
    ------
    OutputError
        The suffix is not supported, or the file cannot be written.
    AudioError
        The audio cannot be read.
    """
    import soundfile

    path = Path(path)
    check_sound_path(path)
    kind, subtype = SOUNDS[path.suffix.lower()]
    if kind == "WAV" and _length_s(result) * SAMPLE_RATE * 4 > _MOST_WAV_BYTES:
        kind = "RF64"
    # Opus does not support 44.1 kHz.
    if subtype == "OPUS":
        rate, blocks = 48_000, _resampled(sonify_blocks(result, clicks_only=clicks_only))
    else:
        rate, blocks = SAMPLE_RATE, sonify_blocks(result, clicks_only=clicks_only)
    with atomic_path(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", rate, 2, subtype, format=kind) as file:
                for block in blocks:
                    file.write(block.T)
        except soundfile.LibsndfileError as error:
            raise OutputError(
                f"cannot be written: {error.error_string.rstrip('.')}.",
                remedy="Choose another format (suffix) or another folder.",
                path=path,
            ) from error


def _length_s(result: AnalysisResult) -> float:
    return max([*result.beats[-1:], *(one.end for one in result.segments[-1:]), 0.0])


def _resampled(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    import soxr

    stream = soxr.ResampleStream(SAMPLE_RATE, 48_000, 2, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, 2), np.float32), last=True).T


def _events(result: AnalysisResult) -> list[_Event]:
    downbeats = set(result.downbeats)
    events = [
        _Event(_sample(time), _click(DOWNBEAT_HZ if time in downbeats else BEAT_HZ))
        for time in result.beats
    ]
    for one in result.segments[1:]:
        boundary = _sample(one.start)
        riser = _riser()[-boundary:] if boundary < len(_riser()) else _riser()
        if boundary > 0:
            events.append(_Event(boundary - len(riser), riser))
        events.append(_Event(boundary, _drop()))
    return sorted(events, key=lambda event: event.start)


def _sample(time: float) -> int:
    return max(0, round(time * SAMPLE_RATE))


@cache
def _click(pitch_hz: float) -> NDArray[np.float32]:
    """A decaying cosine: its first sample is the loudest, so that its onset is exact."""
    t = np.arange(round(_CLICK_S * SAMPLE_RATE)) / SAMPLE_RATE
    click = _CLICK * np.cos(2 * np.pi * pitch_hz * t) * np.exp(-t / 0.015)
    return click.astype(np.float32)


@cache
def _riser() -> NDArray[np.float32]:
    """Noise that swells for four seconds, and ends at the boundary."""
    t = np.arange(round(_RISER_S * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (_RISER / 2 * noise * (t / _RISER_S) ** 2).clip(-_RISER, _RISER).astype(np.float32)


@cache
def _drop() -> NDArray[np.float32]:
    """A tone of half a second with falling pitch."""
    t = np.arange(round(_DROP_S * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (600 * t - 500 * t**2)
    return (_RISER * np.sin(phase) * (1 - t / _DROP_S)).astype(np.float32)
