"""Paths as users write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def expanded(path: str | os.PathLike[str]) -> Path:
    """Expand a leading ``~`` to the home folder; if there is no such user, as in ``~song.wav``, it is kept."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


class Anchors:
    """Makes paths absolute before other code may change the current folder, and remembers how the user wrote them."""

    def __init__(self) -> None:
        self._given: dict[Path, Path] = {}

    def absolute(self, path: str | os.PathLike[str]) -> Path:
        """The absolute path; a leading ``~`` is not expanded."""
        given = Path(path)
        found = given.absolute()
        self._given.setdefault(found, given)
        return found

    def as_given(self, path: Path) -> Path:
        """A path, or that of a file in an anchored folder, as the user would write it."""
        if path in self._given:
            return self._given[path]
        return self._given[path.parent] / path.name if path.parent in self._given else path

    def text_as_given(self, text: str) -> str:
        """As :meth:`as_given`, for text that may also be a URL, which is kept."""
        path = Path(text)
        found = self.as_given(path)
        return text if found is path else os.fspath(found)


@contextmanager
def staying() -> Iterator[None]:
    """Return to the current folder after the block, for code of plugins, which may change it."""
    try:
        here = os.getcwd()  # noqa: PTH109 - Path.cwd() is the same with more work
    except OSError:  # it was removed
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(here)
