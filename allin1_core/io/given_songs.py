"""Temporary files for songs that are given as samples, as open files, or as URLs."""

from __future__ import annotations

import io
import numbers
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from allin1_core.errors import InputError
from allin1_core.io.decoding.reader import SAMPLE_RATES
from allin1_core.urls import Url, is_url

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: A path, a URL, a binary file, or samples.
GivenSong: TypeAlias = "str | PathLike[str] | IO[bytes] | ArrayLike"

#: Maximum number of channels; more indicate that the axes are swapped.
_MOST_CHANNELS = 64


def is_path(song: object) -> bool:
    """Whether a song is given by its path or URL."""
    return isinstance(song, (str, PathLike))


@contextmanager
def as_file(song: Any, rate: int | None = None) -> Iterator[tuple[Path, Path | Url]]:
    """Yield a song as a file, with the path or URL to state in its result.

    Parameters
    ----------
    song
        A path; a URL; a file that is open for reading bytes, read from its current position; or samples ``[n]`` or
        ``[channels, n]``, as floats in -1 to 1 or as integers over the full range of their type.
    rate
        Sample rate in Hz, if samples are given.

    Yields
    ------
    file, name
        The file, which is removed afterwards unless it is that of the user; and the path or URL for the result.

    Raises
    ------
    InputError
        `song` is none of these, cannot be downloaded, or is an array of samples without a rate.
    """
    if is_url(song):
        from allin1_core.io.fetching import fetched

        url = Url(song)
        with fetched(url) as file:
            yield file, url.without_secrets
        return
    if is_path(song):
        yield Path(song), Path(song)
        return
    with tempfile.TemporaryDirectory(prefix="allin1-") as folder:
        if hasattr(song, "read"):
            if isinstance(song, io.TextIOBase):
                raise InputError(
                    "The song is a file that is open in text mode.",
                    remedy='Open it in binary mode: "rb".',
                )
            name = getattr(song, "name", None)
            named = Path(os.fsdecode(name)) if isinstance(name, (str, bytes)) else Path("stream")
            file = Path(folder) / (named.name or "stream")
            with file.open("wb") as copy:
                _copy(song, copy)
        else:
            named, file = Path("samples"), Path(folder) / "samples.wav"
            _write(song, rate, file)
        yield file, named


def _copy(song: IO[bytes], copy: IO[bytes]) -> None:
    try:
        shutil.copyfileobj(song, copy)
    except (TypeError, ValueError, OSError) as error:
        raise InputError(
            f"The song is a file that cannot be read: {error}.",
            remedy='Open it in binary mode: "rb".',
        ) from error


def _write(song: Any, rate: int | None, file: Path) -> None:
    import soundfile

    samples = _samples(song)
    if rate is None:
        raise InputError(
            "Samples were given without a rate.",
            remedy="Pass both to a session: Session().analyze(samples, rate=44100).",
        )
    if not _is_rate(rate):
        raise InputError(
            f"The sample rate is {rate!r}.",
            remedy=f"Pass samples per second, a whole number from {SAMPLE_RATES[0]} to"
            f" {SAMPLE_RATES[-1]}.",
        )
    if samples.ndim != 2 or not 1 <= samples.shape[0] <= _MOST_CHANNELS:
        raise InputError(
            f"Samples have the shape {np.shape(song)}.",
            remedy="Pass an array of shape [n] or [channels, n].",
        )
    soundfile.write(file, samples.T, int(rate), subtype="FLOAT", format="WAV")


def _samples(song: Any) -> NDArray[np.float32]:
    """Samples as floats, of any shape."""
    try:
        samples = np.asarray(song)
        if samples.dtype.kind not in "iuf" or not samples.ndim:
            raise TypeError(f"unsupported type {samples.dtype}")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A song of type {type(song).__name__} is not supported.",
            remedy="Pass a path, a URL, a binary file, or an array of samples (real numbers).",
        ) from error
    if samples.dtype.kind in "iu":
        limits = np.iinfo(samples.dtype)
        middle = 0 if samples.dtype.kind == "i" else (limits.max + 1) // 2
        samples = (samples.astype(np.float64) - middle) / (limits.max - middle + 1)
    return np.atleast_2d(samples.astype(np.float32))


def _is_rate(rate: Any) -> bool:
    is_number = isinstance(rate, numbers.Real)
    return is_number and bool(SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[-1] and rate == int(rate))
