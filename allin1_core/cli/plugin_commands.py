"""Commands that plugins add.

Listing them imports the plugins' hook modules; the code of a command is imported only when it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import click

from allin1_core.cli.printing import say
from allin1_core.contracts.rules import is_name
from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, PluginError, in_full

if TYPE_CHECKING:
    from allin1_core.contracts.command import Command
    from allin1_core.plugins.collecting import Offered
    from allin1_core.plugins.record import PluginRecord, Problem


class PluginCommands:
    """The commands of the installed plugins.

    Parameters
    ----------
    taken
        Names of the core's own commands.
    block
        Plugins that are not loaded.
    """

    def __init__(self, taken: Collection[str], block: Iterable[str] = ()) -> None:
        self._taken = taken
        self._block = tuple(block)
        self._found: dict[str, Offered[Command]] | None = None
        self._problems: tuple[Problem, ...] = ()
        self._left_out: tuple[PluginRecord, ...] = ()

    @property
    def found(self) -> dict[str, Offered[Command]]:
        """The commands by name, collected on first access. Problems of plugins are not logged."""
        if self._found is None and not _are_installed():
            self._found = {}
        if self._found is None:
            from allin1_core.plugins.collecting import collect_commands
            from allin1_core.plugins.loading import load_plugins

            log = logging.getLogger("allin1_core.plugins")
            level = log.level
            log.setLevel(logging.CRITICAL)  # the command loads them again, and logs problems
            try:
                plugins = load_plugins(block=self._block, strict=False, with_core=False)
                self._found, self._problems = collect_commands(plugins, self._taken)
                self._left_out = tuple(
                    r for r in plugins.records if r.status in ("broken", "incompatible")
                )
            finally:
                log.setLevel(level)
        return self._found

    def check(self, name: str) -> bool:
        """Whether `name` is a command of a plugin.

        Raises
        ------
        click.UsageError
            A plugin provides it, but it was left out because of a problem.
        """
        if not is_name(name):
            return False
        if name in self.found:
            return True
        beginning = f"Command {name}: "
        for problem in self._problems:
            if problem.reason.startswith(beginning):
                raise click.UsageError(str(problem))
        return False

    def lines(self) -> list[tuple[str, str]]:
        """Name and summary of each command, for the help; problems are printed on stderr."""
        lines = [(name, offered.item.summary) for name, offered in sorted(self.found.items())]
        for problem in (*self._left_out, *self._problems):
            say(f"WARNING: {problem}", err=True)
        return lines

    def load(self, name: str) -> click.Command:
        """Import a command.

        Raises
        ------
        PluginError
            A requirement is not installed, the command cannot be imported, or it is not a click command.
        """
        from allin1_core.selection.probing import check_needs, load_target

        offered = self.found[name]
        record, target = offered.plugin, offered.item.target
        missing = check_needs(offered.item.needs)
        if missing is not None:
            raise PluginError(
                f"The command {name} of plugin {record.name} cannot run: {missing.reason}",
                remedy=missing.remedy or None,
            )
        try:
            command = load_target(target)
        except PLUGIN_FAILURES as error:
            raise PluginError(
                f"The command {name} of plugin {record.name} cannot be loaded: importing {target} raised"
                f" {in_full(error)}",
                remedy=f"Reinstall {record.distribution}, or report it to its author.",
            ) from error
        if not isinstance(command, click.Command):
            raise PluginError(
                f"The command {name} of plugin {record.name} cannot be loaded: {target} is a"
                f" {type(command).__name__}, not a click command.",
                remedy="Report it to its author.",
            )
        return command

    def failure(self, name: str, error: BaseException) -> BaseException:
        """The exception to raise for a command that raised `error`."""
        if isinstance(error, (click.ClickException, Allin1Error)):
            return error
        if isinstance(error, (click.exceptions.Exit, click.exceptions.Abort)):
            return error
        if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
            return click.exceptions.Exit(error.code or 0)
        return PluginError(
            f"The command {name} of plugin {self.found[name].plugin.name} failed: {in_full(error)}",
            remedy="Use --traceback to see where.",
        )


def _are_installed() -> bool:
    """Whether there may be plugins besides the core's own. This is cheaper than loading them."""
    from importlib.metadata import entry_points

    from allin1_core.markers import PROJECT

    try:
        return bool(entry_points(group=PROJECT))
    except Exception:  # damaged metadata, which the loader reports
        return True
