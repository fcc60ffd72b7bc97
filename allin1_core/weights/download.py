"""Atomic download of a weights file to a folder."""

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

#: Timeouts in seconds for connecting, and between two chunks of data.
TIMEOUT_S = (5.0, 30.0)

_CHUNK_BYTES = 64 * 1024


class DownloadError(Exception):
    """The file could not be downloaded from any URL; ``reasons`` has a sentence for each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def download(file: WeightsFile, folder: Path, progress: Callable[[int], None] | None) -> None:
    """Download `file` to `folder`, from the first of its URLs that serves the correct content.

    It is written to a temporary file in that folder, verified, and only then renamed, so neither an
    interruption nor another process that downloads the same file leaves a partial file. If an intact copy
    exists already, nothing is downloaded; a damaged one is replaced.

    Parameters
    ----------
    file
        The file to download.
    folder
        The folder; created if it is missing.
    progress
        Called with the number of bytes downloaded. An exception that it raises cancels the download.

    Raises
    ------
    DownloadError
        No URL serves the file.
    WeightsError
        The folder cannot be written.
    """
    import pooch
    import requests

    def fetch(url: str, output_file: str, _: Any) -> None:
        bar = False if progress is None else _Bar(progress, file.size)
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK_BYTES, timeout=TIMEOUT_S)
        get(url, output_file, None)
        # pooch also compares digests, but does not report truncated files.
        damage = find_damage(file, Path(output_file).read_bytes())
        if damage is not None:
            raise _ContentError(damage)
        # pooch's temporary file is only readable by its owner; a cache may be shared.
        Path(output_file).chmod(0o644)

    reasons = [] if file.urls else [f"No URL is known for {file.name}."]
    unreachable: set[str] = set()
    for url in file.urls:
        # Without a network, do not wait for the timeout of every URL on the same host.
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
                remedy="Make it writable, free some space, or set ALLIN1_CACHE_DIR to another folder.",
                path=folder,
            ) from error
    raise DownloadError(reasons)


class _ContentError(Exception):
    """The server sent something else than the file."""


class _Bar:
    """Adapts a callback to the interface of pooch's progress bars."""

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
        """Do nothing: the bytes that pooch reports after this were already counted."""

    def close(self) -> None:
        """Do nothing: the owner of the callback closes it."""


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    # pooch announces each download on stderr with its own logger, outside the hierarchy of logging.
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
        return "the transfer was interrupted."
    if isinstance(error, requests.ConnectionError):
        return "the connection failed."
    return str(error)
