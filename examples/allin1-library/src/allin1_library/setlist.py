"""``allin1 setlist``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core import load_result
from allin1_core.errors import InputError


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def setlist(folder: Path) -> None:
    """Print the songs whose results are in FOLDER, the slowest first."""
    results = [(load_result(path), path.stem) for path in sorted(folder.glob("*.json"))]
    songs = sorted((result.bpm, name) for result, name in results if result.bpm is not None)
    if not songs:
        raise InputError(
            "There is no result with a tempo.",
            remedy="Analyse songs into this folder.",
            path=folder,
        )
    for bpm, name in songs:
        click.echo(f"{bpm:4}  {name}")
