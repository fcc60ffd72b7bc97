"""What every picture shares: the check beforehand, and the file."""

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
    """Raise :class:`~allin1_core.errors.OutputError` unless a picture can be drawn under the name `path`.

    Parameters
    ----------
    path
        The file; its suffix says the format.
    kind
        What the picture is called in errors.
    """
    if path.suffix.lower() not in PICTURES:
        raise OutputError(
            f"A {kind} cannot be of the kind {path.suffix or '(no suffix)'}.",
            remedy=f"Let its name end in {', '.join(PICTURES)}.",
            path=path,
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise OutputError(
            f"Matplotlib, which draws pictures, cannot be imported ({error}).",
            remedy=f"Install it: {install_command('allin1-core', 'viz')}",
            path=path,
        ) from error


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write `figure` to a file, which appears whole or not at all; its suffix says the format.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # A title in a script that Matplotlib's font lacks is drawn as boxes, and no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=dpi)
