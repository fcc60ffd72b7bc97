"""``allin1 visualize``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import PICTURE_FORMAT, overwrite_option, results_argument
from allin1_core.cli.results import make_files


@click.command()
@results_argument
@click.option(
    "-o",
    "--viz-dir",
    "out_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("viz"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--format",
    "suffix",
    type=PICTURE_FORMAT,
    default="pdf",
    show_default=True,
    help="Format of the pictures.",
)
@overwrite_option
@click.pass_context
def command(
    ctx: click.Context, results: tuple[Path, ...], out_dir: Path, suffix: str, overwrite: bool
) -> None:
    """Draw RESULTs: waveform, beats, sections, activations, and the tempo if it changes.

    RESULT is the JSON that an analysis wrote, or a folder of them. The waveform is drawn if the audio is still at
    the path that the result states. Prints the path of each picture.
    """
    from allin1_core.io.results import load_result
    from allin1_core.presentation.picture import write_picture

    read_audio_with(load_plugins(ctx))

    def draw(path: Path, picture: Path) -> None:
        write_picture(load_result(path), picture, name=path.stem)

    make_files(
        ctx, results, lambda path: out_dir / f"{path.stem}.{suffix}", draw, overwrite=overwrite
    )
