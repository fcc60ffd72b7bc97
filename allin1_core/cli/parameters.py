"""Options that several commands have."""

from __future__ import annotations

import logging
from typing import Any

import click

from allin1_core.contracts.model import DEFAULT_MODEL


def show_calibration(is_shown: bool = True) -> None:
    """Let the measurements of a run be told of on stderr as they are made, or not."""
    level = logging.INFO if is_shown else logging.NOTSET
    logging.getLogger("allin1_core.measuring.on_demand").setLevel(level)


class StageAndName(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
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


model_option = click.option("-m", "--model", help=f"Name of the model.  [default: {DEFAULT_MODEL}]")
backend_option = click.option(
    "-b",
    "--backend",
    "backends",
    multiple=True,
    type=StageAndName(),
    help="Use this backend or plugin for a stage, such as nn=torch-cpu; may be repeated."
    " NAME auto undoes what the environment or the configuration says.",
)
calibrate_option = click.option(
    "--calibrate/--no-calibrate",
    default=None,
    help="First measure the backends that could do it, where nothing that holds was measured before, keep that,"
    " and choose by it.",
)
parity_option = click.option(
    "--parity",
    type=click.Choice(["identical", "close", "lossy"]),
    help="Weakest promise of closeness to the reference to accept.  [default: close]",
)
