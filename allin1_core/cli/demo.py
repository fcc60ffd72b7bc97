"""``allin1 demo``: write a synthetic song to try the program with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from allin1_core.cli.printing import say


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"))
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
def command(folder: Path, overwrite: bool) -> None:
    """Write a synthetic song, its four stems and its annotations into FOLDER (./demo).

    Prints the files, and the next command to try.
    """
    from allin1_core.demo import demo_files, write_demo

    write_demo(folder, overwrite=overwrite)
    for path in demo_files(folder):
        say(path)
    song, truth = (shlex.quote(str(folder / name)) for name in ("song.wav", "truth.json"))
    say(f"\nNext: allin1 analyze {song}")
    say(f"Then: allin1 evaluate struct/song.json --reference {truth}")
