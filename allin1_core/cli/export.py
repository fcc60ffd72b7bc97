"""``allin1 export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import INPUT, Number, overwrite_option, result_files
from allin1_core.cli.printing import say

if TYPE_CHECKING:
    from allin1_core.contracts.export import Exporter, Song
    from allin1_core.plugins.collecting import Offered, Offers


@click.command()
@click.argument("results", nargs=-1, type=INPUT, metavar="RESULT...")
@click.option(
    "--to", "formats", multiple=True, metavar="FORMAT", help="Format to write; may be repeated."
)
@click.option(
    "-o",
    "--out-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.  [default: beside each result]",
)
@click.option(
    "--offset",
    "offset_ms",
    type=Number(-1e7, 1e7),
    default=0.0,
    metavar="MS",
    help="Milliseconds to add to every time, for programs that start MP3 files at another sample.",
)
@click.option(
    "--collection",
    default="allin1",
    show_default=True,
    metavar="NAME",
    help="File name for formats that hold several songs in one file.",
)
@overwrite_option
@click.option("--list", "as_list", is_flag=True, help="List the formats and exit.")
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[Path, ...],
    formats: tuple[str, ...],
    out_dir: Path | None,
    offset_ms: float,
    collection: str,
    overwrite: bool,
    as_list: bool,
) -> None:
    """Write RESULTs in the formats of other programs.

    RESULT is the JSON that an analysis wrote, or a folder of them. Prints the path of each file. If a result
    fails, the error is printed, and the others are written.
    """
    from allin1_core.io.results import load_result
    from allin1_core.plugins.collecting import collect_offers
    from allin1_core.runtime.exporting import (
        check_files,
        destinations,
        export_songs,
        find_exporter,
        song_of,
    )

    plugins = load_plugins(ctx)
    offers = collect_offers(plugins)
    read_audio_with(plugins)
    if as_list:
        _print_formats(offers)
        return
    if not (results and formats):
        raise click.UsageError("Give at least one RESULT, and a format with --to (see --list).")
    if collection in ("", ".", "..") or any(c in collection for c in "/\\\0"):
        raise click.BadParameter(
            f"{collection!r} is not a file name without a folder", param_hint="--collection"
        )
    chosen = [find_exporter(offers, name) for name in dict.fromkeys(formats)]
    failures = Failures(ctx)
    inputs = list(dict.fromkeys(result_files(results, failures.report)))
    songs: list[tuple[Path, Song]] = []
    for path in inputs:
        with failures.reporting():
            song = song_of(load_result(path), path.stem, offset_s=offset_ms / 1000)
            songs.append((path.parent, song))
    exports: list[tuple[Offered[Exporter], list[Song], Path]] = []
    for offered in chosen if songs else ():
        if offered.item.collects:
            exports.append((offered, [song for _, song in songs], out_dir or songs[0][0]))
        else:
            exports += [(offered, [song], out_dir or folder) for folder, song in songs]
    files = [
        file
        for offered, group, folder in exports
        for file, _ in destinations(offered, group, folder, collection=collection)
    ]
    check_files(files, inputs, overwrite=overwrite)
    for offered, group, folder in exports:
        with failures.reporting():
            (file,) = export_songs(
                offered, group, folder, collection=collection, overwrite=overwrite
            )
            say(file)
    ctx.exit(failures.exit_status)


def _print_formats(offers: Offers) -> None:
    from allin1_core.selection.probing import check_needs

    exporters = [offered.item for offered in offers.exporters.values()]
    width = max((len(one.name) for one in exporters), default=0)
    suffixes = max((len(one.suffix) for one in exporters), default=0)
    for one in exporters:
        missing = check_needs(one.needs)
        note = "" if missing is None else f"  ({missing.reason} {missing.remedy})"
        say(f"{one.name:<{width}}  {one.suffix:<{suffixes}}  {one.summary}{note}")
