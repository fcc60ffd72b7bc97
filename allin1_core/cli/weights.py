"""``allin1 weights``: lists trained models and the location of their files, downloads and verifies them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.main import load_plugins
from allin1_core.cli.printing import say, say_json
from allin1_core.contracts.model import AUTO_MODELS
from allin1_core.errors import WeightsError

if TYPE_CHECKING:
    from allin1_core.contracts.model import ModelCard, SeparatorCard, WeightsFile
    from allin1_core.weights.store import Folders, Progress

#: The model that is fetched and verified if none is named.
DEFAULT_MODEL = AUTO_MODELS[0]

_weights_dir = click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to search before that of ALLIN1_WEIGHTS_DIR and the cache.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_models = click.argument("models", metavar="[MODEL]...", nargs=-1)


@click.group("weights")
def command() -> None:
    """List, fetch and verify trained models."""


@command.command("list")
@_weights_dir
@_as_json
@click.pass_context
def list_models(ctx: click.Context, weights_dir: Path | None, as_json: bool) -> None:
    """List the models, the location of their files, and their licences as far as known.

    builtin is included in the package. Models that separate songs, such as htdemucs, are listed if a plugin
    provides them.
    """
    from allin1_core.weights.store import find_folders, locate

    folders = find_folders(weights_dir)
    cards = _known_models(ctx)
    paths = [[locate(file, folders) for file in card.files] for card in cards]
    if as_json:
        models = [_as_record(card, found) for card, found in zip(cards, paths, strict=True)]
        say_json(models, indent=2)
        return
    rows = [("MODEL", "FILES", "SIZE", "WHERE", "WHAT")]
    for card, found in zip(cards, paths, strict=True):
        count = str(len(card.files))
        version = getattr(card, "version", "")
        what = f"{card.summary} (version {version})" if version else card.summary
        rows.append((card.name, count, _size(card), _whereabouts(card, found), what))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, count, text, where, what in rows:
        line = f"{name:<{widths[0]}}  {count:>{widths[1]}}  {text:>{widths[2]}}"
        say(f"{line}  {where:<{widths[3]}}  {what}")
    for source, licence in dict.fromkeys((card.source, card.licence) for card in cards):
        of = [card.name for card in cards if (card.source, card.licence) == (source, licence)]
        say(f"\n{', '.join(of)}\n  Source: {source}\n  Licence: {licence}")


@command.command()
@_models
@click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to download to, instead of the cache.",
)
@click.pass_context
def fetch(ctx: click.Context, models: tuple[str, ...], weights_dir: Path | None) -> None:
    """Download the missing files of MODEL (harmonix-all if none is named), and print the paths.

    'allin1 weights fetch harmonix-all htdemucs' fetches everything that All-In-One needs for songs without stems, if
    allin1-torch[demucs] is installed. builtin is included in the package: there is nothing to fetch.

    Existing files are verified. Damaged ones are downloaded again in the cache and in the folder of
    --weights-dir; in that of ALLIN1_WEIGHTS_DIR, they are an error. Files that belong to a package are
    not copied.
    """
    from allin1_core.weights.store import Folders, find_folders, read_weights

    folders = find_folders() if weights_dir is None else Folders((), weights_dir)
    for card in _chosen_models(ctx, models):
        with _progress_bar(card.name) as progress:
            files = read_weights(card, folders, progress=progress)
        for file in files:
            say(file.path)


@command.command()
@_models
@_weights_dir
@_as_json
@click.pass_context
def verify(
    ctx: click.Context, models: tuple[str, ...], weights_dir: Path | None, as_json: bool
) -> None:
    """Check the files of MODEL (harmonix-all if none is named) against their SHA-256 digests.

    Nothing is downloaded. The exit status is 4 if a file is damaged or missing.
    """
    from allin1_core.weights.store import find_folders

    folders = find_folders(weights_dir)
    files = dict.fromkeys(file for card in _chosen_models(ctx, models) for file in card.files)
    records = [_verify(file, folders) for file in files]
    if as_json:
        say_json(records, indent=2)
    else:
        for record in records:
            detail = f": {record['problem']}" if record["problem"] else ""
            say(f"{record['status']:<8} {record['path'] or record['name']}{detail}")
    bad = [record["name"] for record in records if record["status"] != "ok"]
    if bad:
        raise WeightsError(
            f"Damaged or missing: {', '.join(bad)}.",
            remedy="`allin1 weights fetch` fetches what is missing, and what is damaged in the cache;"
            " replace damaged files in other folders yourself, and reinstall packages with damaged files.",
        )


@command.command()
@_models
@_weights_dir
@click.pass_context
def path(ctx: click.Context, models: tuple[str, ...], weights_dir: Path | None) -> None:
    """Print the folder that is searched first, or the paths of the files of MODEL, one per line."""
    from allin1_core.weights.store import find_folders, locate

    folders = find_folders(weights_dir)
    if not models:
        say((*folders.named, folders.downloads)[0])
    for card in _chosen_models(ctx, models) if models else ():
        for file in card.files:
            found = locate(file, folders)
            if found is None:
                remedy = f"`allin1 weights fetch {card.name}` downloads it."
                if file.package is not None:
                    remedy = f"It belongs to {file.package}: reinstall that."
                elif not file.urls:
                    remedy = (
                        "It cannot be downloaded; set ALLIN1_WEIGHTS_DIR to the folder that has it."
                    )
                raise WeightsError(f"{file.name} is not on this machine.", remedy=remedy)
            say(found)


def _known_models(ctx: click.Context) -> list[ModelCard | SeparatorCard]:
    from allin1_core.plugins.collecting import collect_offers

    offers = collect_offers(load_plugins(ctx))
    models = [offered.item for offered in offers.models.values()]
    return [*models, *(offered.item for offered in offers.separators.values())]


def _chosen_models(ctx: click.Context, names: tuple[str, ...]) -> list[ModelCard | SeparatorCard]:
    from allin1_core.weights.find import find_card

    known = _known_models(ctx)
    return [find_card(name, known) for name in names or (DEFAULT_MODEL,)]


def _as_record(card: ModelCard | SeparatorCard, paths: Sequence[Path | None]) -> dict[str, Any]:
    from allin1_core.contracts.model import ModelCard

    own = ("architecture", "takes", "version", "outputs", "downbeat_threshold")
    return {
        "name": card.name,
        "kind": "analysis" if isinstance(card, ModelCard) else "separation",
        "summary": card.summary,
        **({name: getattr(card, name) for name in own} if isinstance(card, ModelCard) else {}),
        "source": card.source,
        "licence": card.licence,
        "files": [
            {
                "name": file.name,
                "size": file.size,
                "sha256": file.sha256,
                "urls": file.urls,
                "path": None if found is None else str(found),
                "comes_with": file.package,
            }
            for file, found in zip(card.files, paths, strict=True)
        ],
    }


def _size(card: ModelCard | SeparatorCard) -> str:
    sizes = [file.size for file in card.files]
    return f"{sum(sizes) / 1e6:.1f} MB" if all(sizes) else "unknown"


def _whereabouts(card: ModelCard | SeparatorCard, paths: Sequence[Path | None]) -> str:
    here = [found for found in paths if found is not None]
    if not paths:
        return "in its plugin"
    if len(here) == len(paths) and all(file.package for file in card.files):
        return "comes with the package"
    if not here:
        has_source = all(file.urls or file.package for file in card.files)
        return "not here" if has_source else "not here, not published"
    folders = ", ".join(dict.fromkeys(str(found.parent) for found in here))
    return folders if len(here) == len(paths) else f"{len(here)} of {len(paths)} in {folders}"


def _verify(file: WeightsFile, folders: Folders) -> dict[str, Any]:
    from allin1_core.weights.store import inspect

    record: dict[str, Any] = {"name": file.name, "status": "missing", "path": None, "problem": None}
    try:
        found = inspect(file, folders)
    except WeightsError as error:
        return record | {"status": "damaged", "path": error.path, "problem": error.message}
    if found is None:
        return record
    status = "damaged" if found.damage else "ok"
    return record | {"status": status, "path": str(found.path), "problem": found.damage}


@contextmanager
def _progress_bar(title: str) -> Iterator[Progress | None]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, visible=False)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        yield advance
