"""``allin1 plugin``: writes a new plugin, and checks an installed one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.main import COMMANDS, load_plugins, silence_plugin_problems
from allin1_core.cli.parameters import overwrite_option
from allin1_core.cli.printing import say, say_json
from allin1_core.scaffold.kinds import KINDS, OTHER_KINDS, STAGE_KINDS

if TYPE_CHECKING:
    from allin1_core.testing.verdicts import PromiseVerdict


def _table() -> str:
    rows = [f"  {kind.name:<15} {kind.summary}" for kind in KINDS.values()]
    return "\n".join(rows)


@click.group()
def command() -> None:
    """Write a new plugin, or check one."""


@command.command(
    epilog="\b\nStages and kinds:\n" + _table(),
)
@click.argument("name")
@click.option(
    "--stage", type=click.Choice(list(STAGE_KINDS)), help="Write a backend of this stage."
)
@click.option(
    "--kind", type=click.Choice(list(OTHER_KINDS)), help="Write a plugin of another kind."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it.  [default: ./allin1-NAME]",
)
@overwrite_option
def new(
    name: str, stage: str | None, kind: str | None, folder: Path | None, overwrite: bool
) -> None:
    """Write a plugin called NAME: a complete, working distribution to put your own code into.

    It contains the entry point, the hooks, an implementation to replace, tests, a README and a workflow
    for GitHub. Prints the path of each file.
    """
    from allin1_core.scaffold.writing import distribution_name, write_plugin

    chosen = stage or kind
    if chosen is None or (stage and kind):
        raise click.UsageError("Give either --stage or --kind.")
    if kind == "command" and name in COMMANDS:
        raise click.UsageError(f"The core has a command {name}. Choose another name.")
    if folder is None:
        folder = Path(distribution_name(name))
    for path in write_plugin(name, KINDS[chosen], folder, overwrite=overwrite):
        say(path)
    say(f"To install and test it: cd {folder}; pip install -e '.[test]'; pytest", err=True)


@command.command()
@click.argument("name")
@click.option("--no-timing", is_flag=True, help="Do not time backends.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, name: str, no_timing: bool, as_json: bool) -> None:
    """Check whether the plugin NAME keeps its promises, and print a verdict for each.

    Runs the standard tests on everything that it provides (they need the extra 'testing'), times its
    import, and times its backends. Exit status 1 if a promise is broken.
    """
    from allin1_core.installing import install_command

    try:
        import pytest  # noqa: F401
    except ImportError as error:
        wanted = install_command("allin1-core", "testing")
        raise click.UsageError(f"The standard tests need pytest. Install it: {wanted}") from error
    from allin1_core.testing.plugin_check import check_installed

    silence_plugin_problems(ctx)
    found = check_installed(name, load_plugins(ctx), taken=COMMANDS, measure=not no_timing)
    verdicts = _as_json(found) if as_json else _as_table(found)
    broken = sum(verdict.state == "broken" for verdict in verdicts)
    if not as_json:
        kept = sum(verdict.state == "kept" for verdict in verdicts)
        say(f"{kept} kept, {broken} broken, {len(verdicts) - kept - broken} not checked here")
    if broken:
        ctx.exit(1)


_MARKS = {"kept": "kept", "broken": "BROKEN", "not checked": "-"}


def _as_table(found: Iterable[PromiseVerdict]) -> list[PromiseVerdict]:
    """Print each verdict as soon as it is available."""
    verdicts = []
    subject = ""
    for verdict in found:
        if verdict.subject != subject:
            subject = verdict.subject
            say(subject)
        text = f": {verdict.text}" if verdict.text else ""
        say(f"  {_MARKS[verdict.state]:<7} {verdict.promise}{text}")
        verdicts.append(verdict)
    return verdicts


def _as_json(found: Iterable[PromiseVerdict]) -> list[PromiseVerdict]:
    import dataclasses

    verdicts = list(found)
    say_json([dataclasses.asdict(verdict) for verdict in verdicts], indent=2)
    return verdicts
