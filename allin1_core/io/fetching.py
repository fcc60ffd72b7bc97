"""Songs at URLs, read with fsspec: downloads to temporary files, and listing of folders."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allin1_core.errors import AudioError, InputError, SettingsError, brief
from allin1_core.installing import install_command
from allin1_core.io.names import portable_name
from allin1_core.io.sizes import read_size
from allin1_core.urls import Url

#: Limit in bytes for a song, unless ``ALLIN1_DOWNLOAD_LIMIT`` is set; a stream may never end.
DEFAULT_LIMIT = 4_000_000_000

#: Timeouts in seconds for connecting and for reading.
CONNECT_S, READ_S = 20.0, 60.0

_BLOCK = 1 << 20

#: Interval in seconds of checking whether the file is still wanted.
_LOOK_S = 0.1


@contextmanager
def fetched(url: Url, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Path]:
    """Download `url` to a temporary file, which is removed at the end of the block.

    Parameters
    ----------
    url
        URL of any kind that fsspec supports.
    is_wanted
        Called ten times per second; False cancels the download.

    Raises
    ------
    InputError
        It cannot be read, or is larger than ``ALLIN1_DOWNLOAD_LIMIT``; or fsspec, or a package that it needs, is not
        installed.
    """
    shown = url.without_secrets
    limit = download_limit()
    try:
        folder = tempfile.mkdtemp(prefix="allin1-")
    except OSError as error:
        raise InputError(
            f"A temporary file for it cannot be created in {tempfile.gettempdir()}: {error.strerror}.",
            remedy="Set TMPDIR to another folder.",
            path=shown,
        ) from error
    try:
        file = Path(folder) / portable_name(url.name)
        with _errors_about(shown):
            _in_thread(lambda wanted: _download(url, file, limit, wanted), is_wanted)
        yield file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def download_limit() -> int:
    """Return the limit in bytes for one song.

    Raises
    ------
    SettingsError
        ``ALLIN1_DOWNLOAD_LIMIT`` is not a valid size.
    """
    return read_size("ALLIN1_DOWNLOAD_LIMIT", DEFAULT_LIMIT)


def list_songs(
    url: Url, is_song: Callable[[str], bool], suffixes: Sequence[str]
) -> list[Url] | None:
    """List the songs in a folder or of a pattern; None if `url` is that of a single file.

    A URL with ``*`` or ``[`` is a pattern, and one that ends in ``/`` is a folder. For one without any of `suffixes`,
    the file system is asked, except on the web, where folders cannot be told from files.

    Parameters
    ----------
    url
        The URL.
    is_song
        Whether a file of this name in a folder is a song.
    suffixes
        File name extensions of songs.

    Raises
    ------
    InputError
        As for :func:`fetched`.
    """
    shown = url.without_secrets
    text = str(url)
    is_web = text.lower().startswith(("http://", "https://"))
    address = text.partition("?")[0] if is_web else text
    is_pattern = any(character in address for character in "*[")
    is_folder = text.endswith("/")
    if not (is_pattern or is_folder) and (is_web or url.suffix.lower() in suffixes):
        return None

    def look(_: Callable[[], bool]) -> list[str] | None:
        files, path = _open(url)
        if is_pattern:
            matches = files.glob(path, detail=True)
            return [
                name
                for name, about in matches.items()
                if about.get("type") != "directory" and not _is_hidden(name)
            ]
        if not is_folder and not files.isdir(path):
            return None
        root = files._strip_protocol(path).rstrip("/")
        return [
            name
            for name in files.find(path)
            if is_song(name.rsplit("/", 1)[-1])
            and not any(part.startswith(".") for part in name[len(root) :].split("/"))
        ]

    with _errors_about(shown):
        found = _in_thread(look, lambda: True)
    if found is None:
        return None
    first, _, rest = text.partition("::")
    chained = f"::{rest}" if rest else ""
    scheme = first.partition("://")[0]
    return [
        Url((name if "://" in name else f"{scheme}://{name}") + chained) for name in sorted(found)
    ]


def _is_hidden(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(".")


def _download(url: Url, file: Path, limit: int, is_wanted: Callable[[], bool]) -> None:
    shown = url.without_secrets
    files, path = _open(url)
    # On the web, in one request and without asking for the size: not every server supports ranges or sizes.
    options = {"block_size": 0, "size": 1} if "http" in files.protocol else {}
    length = 0
    with files.open(path, "rb", **options) as source, file.open("xb") as copy:
        while is_wanted() and (block := source.read(_BLOCK)):
            length += len(block)
            if length > limit:
                raise AudioError(
                    f"is larger than {limit / 1e9:g} GB, or has no end.",
                    remedy="Set ALLIN1_DOWNLOAD_LIMIT to more, such as 20G, if it is a song.",
                    path=shown,
                )
            try:
                copy.write(block)
            except OSError as error:
                raise InputError(
                    f"It cannot be written to {tempfile.gettempdir()}: {error.strerror}.",
                    remedy="Free some space, or set TMPDIR to another folder.",
                    path=shown,
                ) from error
        copy.flush()


def _open(url: Url) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    shown = url.without_secrets
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(
            "URLs are read by fsspec, which is not installed.",
            remedy=f"Install it: {install_command('allin1-core', 'urls')}",
            path=shown,
        ) from error
    options: dict[str, Any] = {}
    try:
        if str(url).lower().startswith(("http://", "https://")):
            import aiohttp

            # No limit on the total time, as long as data arrives.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
            options["client_kwargs"] = {"timeout": timeout}
        files, path = url_to_fs(str(url), **options)
    except ImportError as error:
        raise InputError(
            f"A package that reads such URLs is not installed: {error}.",
            remedy="Install it with pip.",
            path=shown,
        ) from error
    return files, str(path)


@contextmanager
def _errors_about(url: Url) -> Iterator[None]:
    """Turn the exceptions of fsspec, which may be of any type, into errors about `url`."""
    try:
        yield
    except (InputError, SettingsError):
        raise
    except FileNotFoundError as error:
        raise AudioError("does not exist.", remedy="Check the URL.", path=url) from error
    except Exception as error:
        if isinstance(error, ValueError) and "not known" in str(error):
            scheme = str(url).partition("://")[0]
            raise AudioError(
                f"cannot be read: URLs that begin with {scheme}:// are not supported.",
                remedy="Check the URL.",
                path=url,
            ) from error
        status, message = getattr(error, "status", None), getattr(error, "message", "")
        if isinstance(status, int) and status:
            reason = f"the server answered {status} {message}".rstrip()
        elif isinstance(error, TimeoutError):
            reason = "the server does not answer"
        else:
            reason = brief(error)
        raise AudioError(
            f"cannot be read: {reason}.", remedy="Check the URL and the network.", path=url
        ) from error


def _in_thread(work: Callable[[Callable[[], bool]], Any], is_wanted: Callable[[], bool]) -> Any:
    """Run `work`, which may wait for a server, in its own thread, so that Ctrl-C or `is_wanted` ends it immediately."""
    done: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    is_over = threading.Event()

    def run() -> None:
        try:
            done.put((work(lambda: not is_over.is_set()), None))
        except BaseException as error:
            done.put((None, error))

    # A daemon thread, so that it never delays the end of the process.
    threading.Thread(target=run, name="allin1-fetch", daemon=True).start()
    try:
        while is_wanted():
            try:
                found, error = done.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            return found
    finally:
        is_over.set()
    raise InputError("The download was cancelled.")
