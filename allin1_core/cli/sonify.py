"""``allin1 sonify``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import SOUND_FORMAT, overwrite_option, results_argument
from allin1_core.cli.results import make_files


@click.command()
@results_argument
@click.option(
    "-o",
    "--sonif-dir",
    "out_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sonif"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--format",
    "suffix",
    type=SOUND_FORMAT,
    default="wav",
    show_default=True,
    help="Format of the audio files.",
)
@click.option("--clicks-only", is_flag=True, help="Write the clicks without the song.")
@overwrite_option
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[Path, ...],
    out_dir: Path,
    suffix: str,
    clicks_only: bool,
    overwrite: bool,
) -> None:
    """Write the song of each RESULT with clicks on its beats, and a riser into each change of section.

    RESULT is the JSON that an analysis wrote, or a folder of them. The audio must be at the path that the result
    states. Prints the path of each file.
    """
    from allin1_core.io.own_files import sonification_name
    from allin1_core.io.results import load_result
    from allin1_core.presentation.sound import write_sonification

    read_audio_with(load_plugins(ctx))

    def write(path: Path, sound: Path) -> None:
        write_sonification(load_result(path), sound, clicks_only=clicks_only)

    make_files(
        ctx,
        results,
        lambda path: out_dir / sonification_name(path.stem, suffix),
        write,
        overwrite=overwrite,
    )
