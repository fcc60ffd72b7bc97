"""``allin1 visualize``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import (
    PICTURE_FORMAT,
    overwrite_option,
    result_files,
    results_argument,
)
from allin1_core.cli.printing import say
from allin1_core.cli.results import for_each


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
    """Draw RESULTs: waveform, beats, sections, activations, and the tempo where it changes.

    RESULT is the JSON that an analysis wrote, or a folder of them. The waveform is drawn where the audio is still at
    the path that the result names. Prints the path of each picture.
    """
    from allin1_core.io.atomic import refuse_to_replace
    from allin1_core.io.results import load_result
    from allin1_core.presentation.picture import write_picture
    from allin1_core.runtime.exporting import check_files

    read_audio_with(load_plugins(ctx))
    paths = list(dict.fromkeys(result_files(results)))

    def picture_of(path: Path) -> Path:
        return out_dir / f"{path.stem}.{suffix}"

    def draw(path: Path) -> None:
        picture = picture_of(path)
        refuse_to_replace(picture, overwrite=overwrite)
        write_picture(load_result(path), picture, name=path.stem)
        say(picture)

    # What exists is an error of its result alone.
    check_files([picture_of(path) for path in paths], paths, overwrite=True)
    traceback = bool(ctx.find_root().obj["traceback"])
    ctx.exit(for_each(paths, draw, traceback=traceback))
