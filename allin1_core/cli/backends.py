"""``allin1 backends``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.main import load_plugins

if TYPE_CHECKING:
    from allin1_core.selection.decision import Candidate


@click.command()
@click.option("-m", "--model", default="harmonix-all", show_default=True, help="Name of the model.")
@click.option("-d", "--device", default="auto", show_default=True, help="Device to choose for.")
@click.option(
    "--seconds", type=float, default=180.0, show_default=True, help="Length of audio to choose for."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, model: str, device: str, seconds: float, as_json: bool) -> None:
    """List the backends of each stage: which auto would take, which others could run, and why the rest cannot."""
    import json

    from allin1_core.contracts.stages import STAGES
    from allin1_core.errors import SelectionError
    from allin1_core.runtime.session import Session

    session = Session(model, device=device, plugins=load_plugins(ctx))
    candidates = session.candidates(session.request(STAGES, seconds))
    has_demix = any(c.is_eligible for c in candidates["demix"])
    chosen: list[Any] = []
    trouble = ""
    try:
        request = session.request(STAGES if has_demix else STAGES[1:], seconds)
        chosen = [step.backend for step in session.decide(request).chosen.steps]
    except SelectionError as error:
        trouble = str(error)
    if as_json:
        content = {
            "stages": {
                stage: [_as_json(c, c.backend in chosen) for c in candidates[stage]]
                for stage in STAGES
            },
            "trouble": trouble or None,
        }
        click.echo(json.dumps(content, indent=2))
        return
    for stage in STAGES:
        click.echo(stage)
        for candidate in candidates[stage]:
            click.echo(_line(candidate, candidate.backend in chosen))
        if not candidates[stage]:
            click.echo("    (no plugin offers one)")
    click.echo(f"\n* what auto takes for {seconds:g} s of audio")
    if trouble:
        click.echo(f"allin1: {trouble}", err=True)


def _line(candidate: Candidate, is_chosen: bool) -> str:
    backend = candidate.backend
    mark = "*" if is_chosen else " "
    if candidate.refusal is not None:
        return f"  - {backend.name:<20} {candidate.refusal}"
    device = candidate.ready.device if candidate.ready else ""
    cost = f"{candidate.cost_s:8.2f} s" if backend.speed else "        ?"
    return (
        f"  {mark} {backend.name:<20} {device:<8} {cost}  {backend.parity}  ({candidate.evidence})"
    )


def _as_json(candidate: Candidate, is_chosen: bool) -> dict[str, Any]:
    backend, refusal = candidate.backend, candidate.refusal
    return {
        "name": backend.name,
        "plugin": candidate.plugin.name,
        "stages": backend.stages,
        "summary": backend.summary,
        "eligible": candidate.is_eligible,
        "chosen": is_chosen,
        "device": candidate.ready.device if candidate.ready else None,
        "cost_s": candidate.cost_s if backend.speed else None,
        "evidence": candidate.evidence,
        "parity": str(backend.parity),
        "refusal": None
        if refusal is None
        else {"gate": refusal.gate, "reason": refusal.reason, "remedy": refusal.remedy},
    }
