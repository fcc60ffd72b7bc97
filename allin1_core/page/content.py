"""The data of a page, as plain values for JSON: results, peaks, and a spectrogram."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.spectrogram import BANDS, FRAMES_PER_SECOND, WINDOW_SAMPLES
from allin1_core.errors import AudioError
from allin1_core.io.results import to_json
from allin1_core.io.stems import StemFiles
from allin1_core.presentation.source import mix_blocks, peaks_of, stem_peak_blocks, stems_of
from allin1_core.reference.filterbank import filterbank, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length in seconds up to which peaks and spectrogram have their full resolution.
_FINE_S = 900.0

#: Value of ``log10(1 + x)`` that is drawn with the maximum brightness.
_BRIGHTEST = 1.5

_TYPES = {
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
}


@dataclass(frozen=True)
class Version:
    """One result of a song, with its name on the page.

    Attributes
    ----------
    name
        A distinguishing name, such as that of its folder or model.
    result
        The result.
    """

    name: str
    result: AnalysisResult


@dataclass(frozen=True)
class Pictures:
    """Drawings of the audio.

    Attributes
    ----------
    tracks
        Name and peaks of the mix, or of each stem.
    spectrogram
        A coarse spectrogram; None without audio.
    length_s
        Length of the audio; 0 without audio.
    """

    tracks: list[dict[str, Any]]
    spectrogram: dict[str, Any] | None
    length_s: float


def describe_song(
    name: str,
    versions: Sequence[Version],
    pictures: Callable[[AnalysisResult, float], Pictures] | None = None,
) -> dict[str, Any]:
    """Return the data that a page shows of a song, without its audio.

    Parameters
    ----------
    name
        Title.
    versions
        Results of the same song; the first one is shown first, and its audio is read from its original path.
    pictures
        Function that draws the audio of a result; None for :func:`draw_audio`.
    """
    first = versions[0].result
    lengths = [
        max([*v.result.beats[-1:], *(s.end for s in v.result.segments[-1:]), 1.0]) for v in versions
    ]
    drawn = (pictures or draw_audio)(first, max(lengths))
    return {
        "name": _clean(name),
        "duration": max(drawn.length_s, *lengths),
        "results": [_describe(version) for version in versions],
        "tracks": drawn.tracks,
        "spectrogram": drawn.spectrogram,
    }


def audio_type(path: Path) -> str:
    """Return the media type of an audio file according to its suffix."""
    suffix = path.suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def audio_files(result: AnalysisResult) -> tuple[Path | None, StemFiles | None]:
    """Find the song and its stems, if they still exist."""
    path = Path(result.path)
    return (path if path.is_file() else None), stems_of(result)


def stem_paths(stems: StemFiles) -> dict[str, Path]:
    """Return the file of each stem by its name."""
    return {name: getattr(stems, name) for name in STEMS}


def embedded(path: str | PathLike[str]) -> str:
    """Return a file as a ``data:`` URL."""
    path = Path(path)
    return f"data:{audio_type(path)};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _describe(version: Version) -> dict[str, Any]:
    result = version.result
    content = to_json(result)
    content["path"] = _clean(str(result.path))
    content["name"] = _clean(version.name)
    if result.activations is not None:
        content["activations"] = {
            key: _bytes(255 * np.clip(result.activations[key], 0, 1))
            for key in ("beat", "downbeat", "segment")
        }
        content["activations"]["perSecond"] = FRAMES_PER_SECOND
    return content


def draw_audio(result: AnalysisResult, length_s: float) -> Pictures:
    """Read the audio of a result, and draw it; at a lower resolution if the song, of `length_s` seconds, is long."""
    per_second = FRAMES_PER_SECOND if length_s <= _FINE_S else 50
    bands_per_second = 20 if length_s <= _FINE_S else 5
    spectrogram = _Spectrogram(bands_per_second)
    names: tuple[str, ...] = STEMS
    try:
        stems = stems_of(result)
        if stems is None:
            peaks = peaks_of(spectrogram.watch(mix_blocks(result)), per_second)
            rows, names = peaks.max(axis=0, keepdims=True), ("mix",)
        else:
            rows = peaks_of(spectrogram.watch(stem_peak_blocks(stems), add=True), per_second)
    except AudioError:
        return Pictures([], None, 0.0)
    loudest = max(float(rows.max(initial=0.0)), 1e-9)
    tracks = [
        {"name": name, "perSecond": per_second, "peaks": _bytes(255 * row / loudest)}
        for name, row in zip(names, rows, strict=True)
    ]
    return Pictures(tracks, spectrogram.content(), rows.shape[1] / per_second)


class _Spectrogram:
    """Computes a coarse spectrogram of audio while its blocks are passed through."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._hop = SAMPLE_RATE // per_second
        self._window = window().astype(np.float32)
        self._bank = filterbank()
        self._columns: list[NDArray[np.uint8]] = []
        self._left = np.zeros(WINDOW_SAMPLES // 2, np.float32)

    def watch(
        self, blocks: Iterator[NDArray[np.float32]], *, add: bool = False
    ) -> Iterator[NDArray[np.float32]]:
        """Yield `blocks` unchanged, and analyse the mean of their channels, or the sum if they are stems."""
        for block in blocks:
            self._feed(block.sum(axis=0) if add else block.mean(axis=0))
            yield block
        self._feed(np.zeros(WINDOW_SAMPLES // 2, np.float32))

    def _feed(self, signal: NDArray[np.float32]) -> None:
        samples = np.concatenate([self._left, signal])
        count = max(0, (len(samples) - WINDOW_SAMPLES) // self._hop + 1)
        for first in range(0, count, 200):
            starts = self._hop * np.arange(first, min(first + 200, count))
            frames = samples[starts[:, None] + np.arange(WINDOW_SAMPLES)] * self._window
            magnitudes = np.abs(np.fft.rfft(frames)[:, : len(self._bank)]).astype(np.float32)
            levels = np.log10(1 + magnitudes @ self._bank)
            self._columns.append(np.clip(255 / _BRIGHTEST * levels, 0, 255).astype(np.uint8))
        self._left = samples[count * self._hop :]

    def content(self) -> dict[str, Any]:
        """Return the spectrogram so far, column by column, from low to high frequencies."""
        columns = np.concatenate(self._columns) if self._columns else np.zeros((0, BANDS), np.uint8)
        data = base64.b64encode(columns.tobytes()).decode()
        return {"perSecond": self._per_second, "bands": BANDS, "data": data}


def _bytes(values: NDArray[Any]) -> str:
    return base64.b64encode(np.clip(np.rint(values), 0, 255).astype(np.uint8).tobytes()).decode()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
