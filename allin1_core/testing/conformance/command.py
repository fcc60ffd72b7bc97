"""Conformance of commands that plugins add to ``allin1``."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import click
import pytest

from allin1_core.contracts.command import Command
from allin1_core.errors import PLUGIN_FAILURES, in_full
from allin1_core.plugins.collecting import collect_commands
from allin1_core.selection.probing import load_target
from allin1_core.testing.conformance.offered import OfferedConformance, load_alone
from allin1_core.testing.watching import printed


class CommandConformance(OfferedConformance):
    """Requirements for every command. Neither it nor its subcommands are run: only their help is printed.

    Attributes
    ----------
    hooks
        What its entry point names: the module with the hooks.
    command
        Name of the command.
    """

    command: ClassVar[str]

    def record(self) -> Command:
        """Find the command among those that the hooks provide."""
        plugins, plugin = load_alone(self.hooks)
        commands, _ = collect_commands(plugins, ())
        return self.find("command", self.command, commands.values(), plugin).item

    def loaded(self) -> click.Command:
        """Import the command."""
        record = self.record()
        found = load_target(record.target)
        if not isinstance(found, click.Command):
            pytest.fail(f"{record.target} is a {type(found).__name__}: wanted a click command")
        return found

    def test_it_and_its_subcommands_have_help(self) -> None:
        for name, command, _ in self._all():
            assert command.help, f"command {name} has no help: give it a docstring"

    def test_its_help_can_be_shown(self) -> None:
        for name, command, parent in self._all():
            with printed() as texts:
                try:
                    command.main(["--help"], name, standalone_mode=False, parent=parent)
                except click.exceptions.Exit:
                    pass
                except PLUGIN_FAILURES as error:
                    pytest.fail(f"'{name} --help' raised {in_full(error)}: let click make the help")
            assert any("Usage:" in text for text in texts), (
                f"'{name} --help' prints no usage: leave --help to click"
            )

    def test_its_function_takes_its_parameters(self) -> None:
        for name, command, _ in self._all():
            if command.callback is None:
                assert isinstance(command, click.Group), (
                    f"command {name} does nothing: give it a function"
                )
                continue
            names = [p.name for p in command.params if p.expose_value and p.name is not None]
            # Functions that click wraps, to pass its context, accept anything.
            signature = inspect.signature(command.callback, follow_wrapped=False)
            try:
                signature.bind(**dict.fromkeys(names))
            except TypeError as error:
                pytest.fail(
                    f"the function of {name} does not take what its options and arguments give"
                    f" ({', '.join(names) or 'nothing'}): {error}"
                )

    def test_no_option_is_declared_twice(self) -> None:
        for name, command, _ in self._all():
            words = Counter(
                word
                for parameter in command.params
                if isinstance(parameter, click.Option)
                for word in (*parameter.opts, *parameter.secondary_opts)
            )
            twice = [word for word, count in words.items() if count > 1]
            assert not twice, (
                f"two options of {name} are called {', '.join(twice)}, and only one is heard:"
                " rename the other"
            )

    def _all(self) -> Iterator[tuple[str, click.Command, click.Context | None]]:
        """The command and its subcommands, with the words that call each and the context of its parent."""
        words = f"allin1 {self.command}"
        yield from _with_subcommands(words, self.loaded(), None)


def _with_subcommands(
    words: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context | None]]:
    yield words, command, parent
    if not isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=words, parent=parent)
    for name in command.list_commands(context):
        found: Any = None
        try:
            found = command.get_command(context, name)
        except PLUGIN_FAILURES as error:
            pytest.fail(f"'{words} {name}' cannot be loaded: it raised {in_full(error)}")
        assert found is not None, f"{words} lists a command {name} that it does not have"
        yield from _with_subcommands(f"{words} {name}", found, None)
