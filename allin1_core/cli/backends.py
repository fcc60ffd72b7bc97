"""``allin1 backends``."""

from __future__ import annotations

from typing import Any

import click

from allin1_core.cli.main import load_plugins
from allin1_core.cli.parameters import SECONDS, model_option
from allin1_core.cli.printing import say, say_json
from allin1_core.contracts.route import USUAL_AUDIO_S


@click.command()
@model_option
@click.option("-d", "--device", help="Device to choose for.  [default: auto]")
@click.option(
    "--seconds",
    type=SECONDS,
    default=USUAL_AUDIO_S,
    show_default=True,
    help="Length of audio to choose for.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also list backends that cannot run here, and why."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    device: str | None,
    seconds: float,
    everything: bool,
    as_json: bool,
) -> None:
    """List the backends of each stage: those that auto would choose, and others that could run.

    With --all, also those that cannot run here, with the reason.
    """
    from allin1_core.contracts.stages import STAGES
    from allin1_core.errors import SelectionError
    from allin1_core.runtime.session import Session
    from allin1_core.selection.describing import candidates_lines, candidates_values

    session = Session(model, device=device, calibrate=False, plugins=load_plugins(ctx))
    session.engine.chooser.be_thorough()
    candidates = session.candidates(session.request(STAGES, seconds))
    chosen: list[Any] = []
    trouble = ""
    try:
        chosen = [step.backend for step in session.explain(seconds).chosen.steps]
    except SelectionError as error:
        trouble = str(error)
    if as_json:
        content = {"stages": candidates_values(candidates, chosen), "trouble": trouble or None}
        say_json(content, indent=2)
        return
    say("\n".join(candidates_lines(candidates, chosen, everything=everything)))
    say(
        f"\n* would run for {seconds:g} s of audio ('allin1 explain' says why); --all lists the rest"
    )
    if trouble:
        say(f"allin1: {trouble}", err=True)
