"""``allin1 view``."""

from __future__ import annotations

from pathlib import Path

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import INPUT, Number
from allin1_core.cli.printing import say
from allin1_core.errors import InputError


@click.command()
@click.argument("results", nargs=-1, required=True, type=INPUT)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write a single HTML file instead of starting a server.",
)
@click.option(
    "--embed-limit",
    type=Number(0, 1e6),
    default=50.0,
    show_default=True,
    metavar="MB",
    help="Embed audio up to this size in the file; larger audio is linked.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the server.  [default: any free port]",
)
@click.option("--open/--no-open", "is_opened", default=True, help="Open the browser.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.html if it is such a page.")
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[Path, ...],
    out: Path | None,
    embed_limit: float,
    port: int,
    is_opened: bool,
    overwrite: bool,
) -> None:
    """Show RESULTS in a browser, to listen to them and correct their sections.

    RESULTS are files that an analysis wrote, or folders of them. Results of the same name, such as a/song.json and
    b/song.json, are shown one below the other; songs whose results cannot be read are reported and left out. A server, which
    only this machine can reach, runs until Ctrl-C; --out writes a page of one song that needs no server.
    """
    import webbrowser

    from allin1_core.cli.parameters import result_files
    from allin1_core.io.side_files import check_file, refuse_inputs
    from allin1_core.page.assemble import is_page, write_page
    from allin1_core.page.server import Entry, PageServer

    read_audio_with(load_plugins(ctx))
    by_name: dict[str, list[Path]] = {}
    failures = Failures(ctx)
    for path in dict.fromkeys(result_files(results, failures.report)):
        by_name.setdefault(path.stem, []).append(path)
    if not by_name:
        ctx.exit(failures.exit_status)
    entries = [Entry(name, tuple(paths)) for name, paths in by_name.items()]
    if out is not None:
        if len(entries) > 1:
            raise click.UsageError(
                "--out writes the page of a single song. Give results of one song only."
            )
        refuse_inputs(out, by_name[entries[0].name], "page")
        check_file(out, "page", is_page, overwrite=overwrite)
        limit = round(embed_limit * 1e6)
        write_page(out, entries[0].name, entries[0].versions(), embed_limit=limit)
        say(out)
        return
    readable = []
    for entry in entries:
        with failures.reporting():
            entry.versions()  # report unreadable files now, not in the browser
            readable.append(entry)
    if not readable:
        ctx.exit(failures.exit_status)
    try:
        server = PageServer(readable, port)
    except OSError as error:
        raise InputError(
            f"Port {port} cannot be used: {error.strerror}.",
            remedy="Leave out --port to use any free port.",
        ) from error
    with server:
        say(f"{server.url}  (Ctrl-C ends the server)")
        if is_opened:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("allin1: the server has stopped", err=True)
    ctx.exit(failures.exit_status)
