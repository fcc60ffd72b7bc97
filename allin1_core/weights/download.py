"""Fetching one file of weights into a folder, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from allin1_core.contracts.model import WeightsFile
from allin1_core.errors import WeightsError
from allin1_core.weights.check import find_damage

#: Seconds for a server to accept a connection, and between two pieces of its answer.
TIMEOUT_S = (5.0, 30.0)

_CHUNK_BYTES = 64 * 1024


class DownloadError(Exception):
    """No address gave the file; ``reasons`` has a sentence for each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def download(file: WeightsFile, folder: Path, progress: Callable[[int], None] | None) -> None:
    """Put `file` into `folder`, from the first of its addresses that gives the right content.

    It is written under a temporary name in that folder, checked, and only then renamed, so neither an
    interruption nor another process at the same work leaves a part of it under its name. Where a good
    copy lies already, nothing is fetched; a bad one is replaced.

    Parameters
    ----------
    file
        What to fetch.
    folder
        Made if it is not there.
    progress
        Called with the bytes of this file that are here. What it raises ends the download.

    Raises
    ------
    DownloadError
        No address gave it.
    WeightsError
        The folder cannot be written.
    """
    import pooch
    import requests

    def fetch(url: str, output_file: str, _: Any) -> None:
        bar = False if progress is None else _Bar(progress, file.size)
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK_BYTES, timeout=TIMEOUT_S)
        get(url, output_file, None)
        # pooch compares digests too, but says nothing of a truncated file.
        damage = find_damage(file, Path(output_file).read_bytes())
        if damage is not None:
            raise _ContentError(damage)
        # pooch's temporary file is for its owner only; a cache may be shared.
        Path(output_file).chmod(0o644)

    reasons = [] if file.urls else [f"No address is known for {file.name}."]
    unreachable: set[str] = set()
    for url in file.urls:
        # A machine without network says so at once, not once for each revision at the same address.
        host = urlsplit(url).netloc
        if host in unreachable:
            continue
        try:
            with _quiet(pooch.get_logger()):
                pooch.retrieve(url, file.sha256 or None, file.name, folder, downloader=fetch)
            return
        except (requests.RequestException, _ContentError) as error:
            reasons.append(f"{url}: {_explain(error)}")
            if isinstance(error, (requests.ConnectTimeout, requests.ConnectionError)):
                unreachable.add(host)
        except OSError as error:
            raise WeightsError(
                f"Weights cannot be stored in this folder: {error.strerror or error}.",
                remedy="Make it writable, with room in it, or name another cache by ALLIN1_CACHE_DIR.",
                path=folder,
            ) from error
    raise DownloadError(reasons)


class _ContentError(Exception):
    """The server gave something else than the file."""


class _Bar:
    """What pooch takes for a progress bar, on top of a callback."""

    def __init__(self, progress: Callable[[int], None], size: int) -> None:
        self._progress = progress
        self._size = size
        self._done = 0
        self.total = size  # pooch sets it to the Content-Length

    def update(self, count: int) -> None:
        """Count `count` more bytes; pooch counts whole chunks, and the length once more at the end."""
        self._done = min(self._done + count, self._size)
        self._progress(self._done)

    def reset(self) -> None:
        """Forget nothing: what pooch counts after this has been counted."""

    def close(self) -> None:
        """Do nothing: the callback's owner ends it."""


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    # pooch announces each download on stderr by a logger of its own, outside logging's hierarchy.
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _explain(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}."
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time."
    if isinstance(error, requests.exceptions.SSLError):
        return f"the connection is not secure ({error})."
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off."
    if isinstance(error, requests.ConnectionError):
        return "the connection failed."
    return str(error)
