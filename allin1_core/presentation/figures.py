"""Common parts of all pictures: checking the destination, and writing the file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from allin1_core.errors import OutputError
from allin1_core.installing import install_command
from allin1_core.io.atomic import atomic_path
from allin1_core.presentation.formats import PICTURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write `figure` to a file atomically; its suffix determines the format.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Characters that Matplotlib's font lacks are drawn as boxes, which is not an error.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=dpi)
