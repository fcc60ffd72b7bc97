"""Help for a command with many options: the common ones on one screen, and all of them in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import click

from allin1_core.cli.printing import say

#: Width of the help, and the maximum width of the column of names.
_WIDTH, _NAMES = 80, 26


class GroupedCommand(click.Command):
    """A command whose ``--help`` shows the :attr:`COMMON` options, and ``--help-all`` all of them, in :attr:`GROUPS`."""

    #: Parameters by name, with a short description.
    COMMON: ClassVar[Mapping[str, str]] = {}

    #: Titles with names of parameters. A parameter in no group is not shown.
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=self._show_all,
                help="Show all options, and exit.",
            )
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the common options, one per line."""
        by_name = {param.name: param for param in self.get_params(ctx)}
        texts = {**self.COMMON, "help_all": "Show all options, and exit."}
        records = [(_record(by_name[name], ctx)[0], text) for name, text in texts.items()]
        with formatter.section("Common options"):
            formatter.write_dl([(_shortened(names), text) for names, text in records])

    def _show_all(self, ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if not value or ctx.resilient_parsing:
            return
        say("\n\n".join([self.get_usage(ctx), *self.groups(ctx)]))
        ctx.exit()

    def groups(self, ctx: click.Context) -> list[str]:
        """Return the text of each group of options."""
        by_name = {param.name: param for param in self.get_params(ctx)}
        texts = []
        for title, names in self.GROUPS.items():
            formatter = click.HelpFormatter(width=_WIDTH, max_width=_WIDTH)
            with formatter.section(title):
                formatter.write_dl(
                    [_record(by_name[name], ctx) for name in names], col_max=_NAMES, col_spacing=1
                )
            texts.append(formatter.getvalue().rstrip("\n"))
        return texts


def _shortened(names: str) -> str:
    """The names, without the list of choices if that is long."""
    return names if len(names) <= _NAMES else f"{names.partition('[')[0]}WHAT"


def _record(param: click.Parameter, ctx: click.Context) -> tuple[str, str]:
    record = param.get_help_record(ctx)
    assert record is not None, param.name
    return record
