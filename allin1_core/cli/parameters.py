"""Options that several commands have."""

from __future__ import annotations

from typing import Any

import click


class Choice(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
    """``stage=name``."""

    name = "STAGE=NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the equals sign."""
        if isinstance(value, tuple):
            return value
        stage, equals, name = str(value).partition("=")
        if not (stage and equals and name):
            self.fail(f"{value!r} is not of the form STAGE=NAME, such as nn=torch", param, ctx)
        return stage.strip(), name.strip()


backend_option = click.option(
    "-b",
    "--backend",
    "backends",
    multiple=True,
    type=Choice(),
    help="Use this backend or plugin for a stage, such as nn=torch-cpu; may be repeated."
    " NAME auto undoes what the environment or the configuration says.",
)
parity_option = click.option(
    "--parity",
    type=click.Choice(["identical", "close", "lossy"]),
    help="Weakest promise of closeness to the reference to accept.  [default: close]",
)
