"""``allin1 bench --report``: the figures of this machine beside those of others."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.printing import say, say_json

if TYPE_CHECKING:
    from allin1_core.plugins.loading import Plugins

#: The command that produced the figures.
SOURCE = "allin1 bench --report"


def report_machine(
    plugins: Plugins, file: str, *, device: str | None, threads: int | None, as_json: bool
) -> None:
    """Measure this machine, and print or write the report.

    Parameters
    ----------
    plugins
        Loaded plugins.
    file
        File to write; empty to print the report.
    device, threads
        Device and number of CPU threads, as in a session.
    as_json
        Whether to print JSON, if no file is written.

    Raises
    ------
    OutputError
        The file exists, or cannot be written.
    """
    path = Path(file).expanduser() if file else None
    if path is not None:
        _check(path, as_json=as_json)
    from allin1_core import suite
    from allin1_core.measuring.machines import (
        FIGURES,
        Machine,
        load_references,
        report,
        this_machine,
        this_system,
        to_json,
    )

    todo = suite.tasks(plugins, device=device, threads=threads)
    say(
        "This takes about two minutes on an idle machine; no measurement is started after"
        f" {suite.BUDGET_S / 60:g} minutes.",
        err=True,
    )

    def tell(number: int, task: suite.Task) -> None:
        say(f"[{number:>2} of {len(todo)}] {FIGURES[task.name].replace('`', '')}", err=True)

    figures = tuple(suite.run(todo, tell))
    machine = Machine(
        name=this_machine(suite.accelerators(plugins, device)),
        system=this_system(),
        versions=suite.versions(plugins),
        date=datetime.date.today().isoformat(),
        source=SOURCE,
        figures=figures,
    )
    values, text = to_json([machine]), report(machine, load_references())
    if path is None:
        say_json(values, indent=2) if as_json else say(text.rstrip("\n"))
        return
    from allin1_core.io.atomic import atomic_path

    is_json = path.suffix.lower() == ".json"
    with atomic_path(path) as temporary:
        content = json.dumps(values, indent=1, allow_nan=False) + "\n" if is_json else text
        temporary.write_text(content, encoding="utf-8")
    say(f"Written to {path}", err=True)


def _check(path: Path, *, as_json: bool) -> None:
    """Check the file name before spending minutes on the measurements."""
    from allin1_core.errors import OutputError

    if path.suffix.lower() not in (".md", ".json"):
        raise click.UsageError(f"{path} ends in neither .md nor .json. Choose one of these.")
    if as_json:
        raise click.UsageError(
            "--json prints the report. Leave it out; a FILE that ends in .json is written as JSON."
        )
    if path.exists():
        raise OutputError("exists already.", path=path, remedy="Choose another name, or remove it.")
