"""``allin1 explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from allin1_core.cli.main import load_plugins
from allin1_core.cli.parameters import (
    SECONDS,
    backend_option,
    by_plugin,
    calibrate_option,
    model_option,
    parity_option,
    plugin_option,
    show_calibration,
)
from allin1_core.cli.printing import say, say_json


@click.command()
@click.argument("song", required=False, type=click.Path(path_type=str))
@click.option(
    "--stems-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Ready-made stems of the song.",
)
@click.option("--seconds", type=SECONDS, help="Length of audio.")
@click.option(
    "--songs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of such songs in one run, which share the time for setting up backends.",
)
@model_option
@click.option("-d", "--device", help="Device to choose for.  [default: auto]")
@backend_option
@plugin_option
@parity_option
@calibrate_option
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also show backends that cannot run here, with the reason, and the cost of moving arrays.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    song: str | None,
    stems_dir: Path | None,
    seconds: float | None,
    songs: int,
    model: str | None,
    device: str | None,
    backends: tuple[tuple[Any, str], ...],
    plugin_options: tuple[tuple[str, str, str], ...],
    parity: str | None,
    calibrate: bool | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain which model and backends would analyse SONG, its stems, or audio of a given length.

    Prints the model, the route, and each candidate with its cost and the origin of that figure. With --all, or if there is
    no route, also each rejected candidate with the check it failed, the reason and the remedy. Nothing is analysed;
    --calibrate runs measurements.
    """
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import make_tracks
    from allin1_core.selection.no_route import NoRouteError

    if seconds is not None and (song is not None or stems_dir is not None):
        raise click.UsageError("Give either a song or its stems, or --seconds.")
    show_calibration()
    session = Session(
        model,
        device=device,
        backends=dict(backends),
        plugin_options=by_plugin(plugin_options),
        parity=parity,
        calibrate=calibrate,
        plugins=load_plugins(ctx),
    )
    start: Any = seconds
    if song is not None or stems_dir is not None:
        folders = [] if stems_dir is None else [stems_dir]
        (start,) = make_tracks([] if song is None else [_file(ctx, song)], folders)
    choice = session.choose_model(start)
    chosen = {"name": choice.card.name, "reason": choice.reason, "other": choice.other}
    line = f"model      {choice.card.name}{f' ({choice})' if str(choice) else ''}"
    try:
        decision = session.explain(start, songs=songs)
    except NoRouteError as error:
        # The error itself follows on stderr.
        values = {"model": chosen, **error.values}
        _print(values if as_json else f"{line}\n{error.explanation}")
        raise
    values = {"model": chosen, **decision.to_json()}
    _print(values if as_json else f"{line}\n{decision.describe(everything=everything)}")


def _print(content: Any) -> None:
    if isinstance(content, str):
        say(content)
    else:
        say_json(content, indent=2)


def _file(ctx: click.Context, song: str) -> Path:
    """The file of a song; one at a URL is kept until the command ends."""
    from allin1_core.urls import Url, is_url

    if not is_url(song):
        return Path(song)
    from allin1_core.io.fetching import fetched

    return ctx.with_resource(fetched(Url(song)))
