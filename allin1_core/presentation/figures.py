"""Common parts of all pictures: checking the destination, and writing the file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from allin1_core.errors import OutputError
from allin1_core.installing import install_command
from allin1_core.io.atomic import atomic_path
from allin1_core.presentation.formats import PICTURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Bytes of a picture that are searched for its title; the largest have a few megabytes.
_MOST_BYTES = 64 * 2**20


def check_picture(path: Path, kind: str = "picture") -> None:
    """Check that a picture can be written to `path`.

    Parameters
    ----------
    path
        The file; its suffix determines the format.
    kind
        Name of the picture in errors.

    Raises
    ------
    OutputError
        The suffix is not supported, or Matplotlib is missing.
    """
    if path.suffix.lower() not in PICTURES:
        raise OutputError(
            f"A {kind} cannot be written as {path.suffix or '(no suffix)'}.",
            remedy=f"Use one of the suffixes {', '.join(PICTURES)}.",
            path=path,
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise OutputError(
            f"Matplotlib, which draws pictures, cannot be imported ({error}).",
            remedy=f"Install it: {install_command('allin1-core', 'viz')}",
        ) from error


def save_figure(figure: Figure, path: Path, kind: str = "picture", *, dpi: int = 150) -> None:
    """Write `figure` to a file atomically.

    Parameters
    ----------
    figure
        The figure.
    path
        The file; its suffix determines the format.
    kind
        What it shows, for :func:`is_picture`.
    dpi
        Resolution of PNG.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Characters that Matplotlib's font lacks are drawn as boxes, which is not an error.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        suffix, metadata = path.suffix.lower()[1:], {"Title": _title(kind)}
        figure.savefig(temporary, format=suffix, dpi=dpi, metadata=metadata)


def is_picture(file: BinaryIO, kind: str) -> bool:
    """Whether :func:`save_figure` has written a picture of this kind, according to the title in its metadata."""
    return _title(kind).encode() in file.read(_MOST_BYTES)


def _title(kind: str) -> str:
    return f"allin1: {kind}"
