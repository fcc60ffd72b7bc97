"""``allin1 bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.main import load_plugins
from allin1_core.cli.parameters import by_plugin, model_option, plugin_option, validated
from allin1_core.cli.printing import say, say_json

if TYPE_CHECKING:
    from allin1_core.measuring.backends import BackendRow
    from allin1_core.measuring.bridges import BridgeRow


class Lengths(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
    """``4,16``."""

    name = "A,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Split at the comma."""
        if isinstance(value, tuple):
            return value
        try:
            short, long = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not of the form 4,16", param, ctx)
        if not 0 < short < long < 86400:
            self.fail(f"{value!r} is not a shorter and a longer length, within a day", param, ctx)
        return short, long


@click.command()
@click.option(
    "--stage",
    "stages",
    multiple=True,
    help="Measure this stage; may be repeated.  [default: all but demix]",
)
@click.option(
    "--seconds",
    type=Lengths(),
    default="4,16",
    show_default=True,
    help="Two lengths of audio, to tell set-up time and rate apart.",
)
@click.option("--save", is_flag=True, help="Save the result, for auto to use on this machine.")
@model_option
@click.option("-d", "--device", help="Leave out what runs on other devices.  [default: auto]")
@plugin_option
@click.option("--threads", type=click.IntRange(min=1), help="Number of CPU threads.")
@click.option(
    "--weights-dir", type=click.Path(path_type=Path), help="Folder to search for weights."
)
@click.option(
    "--demix-error",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Instead, measure the error of each precision of separation, in decibels below each stem, on the middle"
    " two minutes of FILE or on generated audio; with --save, auto avoids float16 if its error is too large.",
)
@click.option(
    "--report",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Instead, measure this machine from start-up to result, in about two minutes, and print the figures beside those"
    " of other machines; or write them to FILE, .md or .json.",
)
@click.option("--demucs-model", help="Model that separates.  [default: htdemucs]")
@click.option(
    "--demucs-weights",
    metavar="FOLDER",
    help="Folder with its weights; random:SEED for random ones.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    stages: tuple[Any, ...],
    seconds: tuple[float, float],
    save: bool,
    model: str | None,
    device: str | None,
    plugin_options: tuple[tuple[str, str, str], ...],
    threads: int | None,
    weights_dir: Path | None,
    demix_error: str | None,
    report: str | None,
    demucs_model: str | None,
    demucs_weights: str | None,
    as_json: bool,
) -> None:
    """Measure every backend that can run here, and the bridges that move arrays.

    Backends run on generated audio and are compared with the reference. With --stage demix, separators are measured, and
    weights may be downloaded. Exit status 1 if a backend fails, or differs more than it declares.
    """
    import dataclasses

    from allin1_core.calibration.store import Calibration, save_calibration
    from allin1_core.contracts.demix import DemixParameters
    from allin1_core.contracts.stages import STAGES
    from allin1_core.measuring.backends import USUAL_STAGES, measure_backends
    from allin1_core.measuring.bridges import measure_bridges
    from allin1_core.runtime.session import Session

    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise click.UsageError(
            f"There is no stage {unknown[0]}. The stages are {', '.join(STAGES)}."
        )
    if stages and demix_error is not None:
        raise click.UsageError("--demix-error measures separation only; leave out --stage.")
    if report is not None:
        from allin1_core.cli.bench_report import report_machine

        refuse_options_without_effect(ctx)
        report_machine(load_plugins(ctx), report, device=device, threads=threads, as_json=as_json)
        return
    given = {"model": demucs_model, "weights": demucs_weights}
    demix = DemixParameters(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    session = Session(
        model,
        device=device,
        threads=threads,
        weights_dir=None if weights_dir is None else str(weights_dir),
        demix=validated(demix, {"model": "demucs_model", "weights": "demucs_weights"}),
        plugin_options=by_plugin(plugin_options),
        plugins=load_plugins(ctx),
    )
    if demix_error is not None:
        from allin1_core.cli.precision import report_precision

        if not report_precision(
            session.engine, demix_error, seconds[1], save=save, as_json=as_json
        ):
            ctx.exit(1)
        return
    rows = []
    if not as_json:
        say(_HEAD)
    for row in measure_backends(session.engine, stages or USUAL_STAGES, seconds):
        rows.append(row)
        if not as_json:
            say(_line(row))
    bridges: list[BridgeRow] = []
    for bridge_row in measure_bridges(session.engine):
        if not bridges and not as_json:
            say(_BRIDGE_HEAD)
        bridges.append(bridge_row)
        if not as_json:
            say(_bridge_line(bridge_row))
    if as_json:
        content = {
            "backends": [_finite(dataclasses.asdict(row)) for row in rows],
            "bridges": [_bridge_values(row) for row in bridges],
        }
        say_json(content, indent=2)
    if save:
        new = Calibration(
            tuple(row.measurement for row in rows if row.measurement is not None),
            tuple(row.measurement for row in bridges if row.measurement is not None),
        )
        say(f"Saved to {save_calibration(new)}", err=as_json)
    if any([row.trouble for row in rows] + [row.trouble for row in bridges]):
        ctx.exit(1)


def refuse_options_without_effect(ctx: click.Context) -> None:
    """Raise a usage error if an option was given that has no effect on a report."""
    from click.core import ParameterSource

    allowed = {"report", "device", "threads", "as_json"}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in allowed and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[-1]} has no effect on --report; leave it out.")


_HEAD = (
    f"{'stage':<14}{'backend':<22}{'device':<9}{'set-up':>9}{'per second':>13}"
    f"{'3 minutes':>12}{'prior':>11}  {'differs':<9} promised"
)


_BRIDGE_HEAD = f"\n{'move':<36}{'measured':>24}{'prior':>27}"


def _bridge_line(row: BridgeRow) -> str:
    from allin1_core.selection.describing import bridge_price

    start = f"{f'{row.bridge.source} to {row.bridge.destination}':<36}"
    if row.measurement is None:
        return f"{start} {row.trouble}"
    return f"{start}{bridge_price(row.measurement.on(row.bridge))}   {bridge_price(row.bridge)}"


def _bridge_values(row: BridgeRow) -> dict[str, Any]:
    import dataclasses

    return {
        "source": str(row.bridge.source),
        "destination": str(row.bridge.destination),
        "measurement": None if row.measurement is None else dataclasses.asdict(row.measurement),
        "trouble": row.trouble,
    }


def _line(row: BackendRow) -> str:
    start = f"{row.stage:<14}{row.backend:<22}{row.device:<9}"
    if row.measurement is None or row.measured_s is None:
        return f"{start} {row.trouble}"
    prior = "" if row.prior_s is None else f"{row.prior_s:9.3f} s"
    differs = "" if row.difference is None else f"{row.difference:.2g}"
    return (
        f"{start}{row.measurement.setup_s:7.3f} s{row.measurement.rate * 1e3:10.3f} ms"
        f"{row.measured_s:10.3f} s{prior:>11}  {differs:<9} {row.promise}"
    )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Replace an infinite difference, which JSON cannot represent, by a string."""
    if row["difference"] == float("inf"):
        row["difference"] = "infinite"
    return row
