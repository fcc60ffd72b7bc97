"""URLs of files, which may be used instead of paths."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

#: ``https://``, ``s3://``, and fsspec's chains such as ``zip://song.mp3::https://…``. Windows drives have one letter.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")

#: Query parameters that may contain credentials.
_SECRET = re.compile(
    r"(?i)^x-(amz|goog)-|signature|^sig$|token|secret|password|credential|api_?key|^key$"
)


def is_url(text: object) -> bool:
    """Whether a text is the URL of a file.

    >>> is_url("s3://bucket/song.mp3"), is_url("C:/song.mp3"), is_url("song.mp3")
    (True, False, False)
    """
    return isinstance(text, Url) or (isinstance(text, str) and _SCHEME.match(text) is not None)


class Url(os.PathLike[str]):
    """A URL used instead of a path. Unlike a path, it is never normalised.

    >>> url = Url("https://host/My%20song.mp3?id=5")
    >>> str(url), url.name, url.stem
    ('https://host/My%20song.mp3?id=5', 'My song.mp3', 'My song')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | Url) -> None:
        self._text = str(text)

    @property
    def name(self) -> str:
        """Last part of the path; the host if there is no path."""
        return self._parts[-1]

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Last suffix of the name, including the dot."""
        return PurePosixPath(self.name).suffix

    @property
    def as_path(self) -> Path:
        """A path that does not exist, but distinguishes this URL from others with the same file name."""
        *folders, name = self._parts
        query = self._text.partition("?")[2] if self._is_web else ""
        mark = [_digest(query)] if query else []
        return Path("/", *folders, *mark, name)

    @property
    def without_secrets(self) -> Url:
        """The URL without user and password, and with signatures and tokens in its query replaced by digests.

        >>> str(Url("https://me:word@host/a.mp3?id=5&token=ab").without_secrets)
        'https://host/a.mp3?id=5&token=3ae897a7'
        """
        return Url("::".join(_without_secrets(link) for link in self._text.split("::")))

    @property
    def _is_web(self) -> bool:
        return self._text.lower().startswith(("http://", "https://"))

    @property
    def _parts(self) -> list[str]:
        # In a chain, the first link that names a file.
        link = next(one for one in self._text.split("::") if "://" in one)
        parts = link.partition("://")[2].split("/")
        if self._is_web:
            with suppress(ValueError):  # invalid URLs are reported when they are opened
                found = urlsplit(link)
                parts = [found.netloc.rpartition("@")[2], *map(unquote, found.path.split("/"))]
        return [part.replace("/", "_") for part in parts if part] or ["_"]

    def __fspath__(self) -> str:
        return self._text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Url({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _without_secrets(link: str) -> str:
    if "://" not in link:
        return link
    try:
        found = urlsplit(link)
    except ValueError:  # invalid URLs are reported when they are opened
        return link
    query = parse_qsl(found.query, keep_blank_values=True)
    hidden = [(name, _digest(value) if _SECRET.search(name) else value) for name, value in query]
    text = found.query if hidden == query else urlencode(hidden)
    if "@" not in found.netloc and text == found.query:
        return link
    return urlunsplit(found._replace(netloc=found.netloc.rpartition("@")[2], query=text))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
