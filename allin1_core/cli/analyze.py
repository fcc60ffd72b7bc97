"""``allin1 analyze``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.main import load_plugins
from allin1_core.cli.parameters import (
    backend_option,
    by_plugin,
    calibrate_option,
    model_option,
    parity_option,
    plugin_option,
    show_calibration,
    tempo_prior_option,
)
from allin1_core.errors import Allin1Error

if TYPE_CHECKING:
    from allin1_core.runtime.batch import Outcome
    from allin1_core.runtime.track import Track

STEM_OPTIONS = ("bass", "drums", "other", "vocals")


class Metres(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
    """``3,4``."""

    name = "N,N…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Split at the commas."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not of the form 3,4", param, ctx)


def _stem_options(function: Any) -> Any:
    for stem in reversed(STEM_OPTIONS):
        option = click.option(
            f"--stems-{stem}",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"The {stem} stem; give all four.",
        )
        function = option(function)
    return function


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out-dir",
    type=click.Path(path_type=Path),
    default=Path("struct"),
    show_default=True,
    help="Where results are written.",
)
@model_option
@click.option(
    "--stems-dir",
    "stems_dirs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Ready-made stems: a folder with bass, drums, other and vocals. Without PATHS it may be repeated;"
    " with several PATHS it holds a folder of stems for each, named like it.",
)
@_stem_options
@click.option(
    "-d",
    "--device",
    help="cpu, cuda, cuda:1, mps … for the stages that can run there.  [default: auto]",
)
@backend_option
@plugin_option
@click.option(
    "--spec-backend", metavar="NAME", help="Short for --backend spectrogram=NAME; auto for any."
)
@parity_option
@click.option(
    "--weights-dir", type=click.Path(path_type=Path), help="Folder to look for weights in."
)
@click.option("-a", "--activ", is_flag=True, help="Also write the activations (.activ.npz).")
@click.option("-e", "--embed", is_flag=True, help="Also write the embeddings (.embed.npy).")
@click.option(
    "--only",
    type=click.Choice(["beats", "sections"]),
    help="Find these, and spend no time on the rest.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace results and kept stems that belong to other inputs."
)
@click.option(
    "--beats-per-bar",
    type=Metres(),
    help="Metres to choose from.  [default: 3,4]",
)
@click.option("--min-bpm", type=float, help="Slowest tempo.  [default: 55]")
@click.option("--max-bpm", type=float, help="Fastest tempo.  [default: 215]")
@click.option("--num-tempi", type=int, help="Tempi to model; 0 for all.  [default: 60]")
@click.option("--transition-lambda", type=float, help="Steadiness of the tempo.  [default: 100]")
@click.option(
    "--observation-lambda", type=int, help="A beat takes 1/N of its interval.  [default: 16]"
)
@click.option(
    "--threshold",
    type=float,
    help="Decode from the first frame that reaches this to the last; 0 for all.  [default: the model's]",
)
@tempo_prior_option
@click.option(
    "--correct/--no-correct", default=True, help="Move beats to the nearby peaks.  [default: on]"
)
@click.option(
    "--demucs-model", help="Model that separates songs without stems.  [default: htdemucs]"
)
@click.option(
    "--demucs-weights",
    metavar="FOLDER",
    help="Folder with its files; random:SEED for seeded random weights, to test with.",
)
@click.option(
    "--trust-demucs-weights",
    is_flag=True,
    default=None,
    help="Also load weights that can run any code, as you, when they are loaded: pickles of more than tensors, and classes"
    " that are not Demucs' own. Only for files whose author you trust.",
)
@click.option(
    "--demucs-shifts", type=int, help="Mean of so many shifted separations.  [default: 1]"
)
@click.option("--demucs-overlap", type=float, help="Overlap of segments.  [default: 0.25]")
@click.option("--demucs-segment", type=float, help="Seconds in a segment.  [default: the model's]")
@click.option("--demix-seed", type=int, help="Seed of the random shifts.  [default: 0]")
@click.option(
    "--demix-precision",
    type=click.Choice(["auto", "float32", "tf32", "float16"]),
    help="Least exact arithmetic that separation may use.  [default: auto]",
)
@click.option("--demix-batch-size", type=int, help="Segments to separate at once.")
@click.option(
    "-k",
    "--keep-stems",
    is_flag=True,
    help="Keep the stems of separated songs as WAV files, and use them again.",
)
@click.option(
    "--demix-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of kept stems; those of the same song and parameters are used again, with or without -k."
    "  [default with -k: demix]",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads on a CPU.")
@click.option(
    "--guard",
    is_flag=True,
    help="Check each backend against the reference on 10 s of the first track, and replace one that"
    " breaks its promise.",
)
@calibrate_option
@click.option(
    "--timings-path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append a line of JSON for each stage that has run.",
)
@click.option(
    "--timings-viz-path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the stages of each track over time: PDF, PNG or SVG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a track on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    out_dir: Path,
    stems_dirs: tuple[Path, ...],
    backends: tuple[tuple[Any, str], ...],
    plugin_options: tuple[tuple[str, str, str], ...],
    spec_backend: str | None,
    activ: bool,
    embed: bool,
    only: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Analyse songs, or their ready-made stems, and write one JSON for each.

    \b
    allin1 analyze song.wav --stems-dir song/stems
    allin1 analyze --stems-dir song/stems -o struct
    """  # noqa: D301 - click reads the backspace
    stems = {name: rest.pop(f"stems_{name}") for name in STEM_OPTIONS}
    tracks = _tracks(ctx, paths, stems_dirs, stems)
    from allin1_core.api import spectrogram_choice
    from allin1_core.cli.progress import show_progress
    from allin1_core.runtime.batch import run_batch
    from allin1_core.runtime.session import Session

    show_calibration(not quiet)
    options: dict[str, Any] = {name: rest.pop(name) for name in _SESSION_OPTIONS}
    with Session(
        **options,
        backends=spectrogram_choice(dict(backends), spec_backend),
        plugin_options=by_plugin(plugin_options),
        demix=_demix(rest),
        metre=_metre(rest),
        overwrite_stems=overwrite,
        plugins=load_plugins(ctx),
    ) as session:
        failed: list[Outcome] = []
        told: dict[str, Track] = {}
        models: set[str] = set()
        with show_progress(tracks, enabled=not (quiet or as_json)) as progress:
            for outcome in run_batch(
                session,
                tracks,
                out_dir=out_dir,
                overwrite=overwrite,
                include_activations=activ,
                include_embeddings=embed,
                only=only,
                progress=progress,
            ):
                if outcome.error is not None:
                    failed.append(outcome)
                if not quiet:
                    _tell_model(outcome, models)
                _report(outcome, as_json, quiet, bool(ctx.find_root().obj["traceback"]), told)
    if failed:
        first = failed[0].error
        # One exit status for one kind of failure; a mixture is 1.
        codes = {outcome.error.exit_code for outcome in failed if outcome.error is not None}
        ctx.exit(first.exit_code if first is not None and len(codes) == 1 else 1)


def _tracks(
    ctx: click.Context,
    paths: tuple[Path, ...],
    stems_dirs: tuple[Path, ...],
    stems: dict[str, Path | None],
) -> list[Track]:
    from allin1_core.io.stems import StemFiles
    from allin1_core.runtime.track import make_tracks

    given = {name: path for name, path in stems.items() if path is not None}
    files = None
    if given:
        missing = [f"--stems-{name}" for name in STEM_OPTIONS if name not in given]
        if missing:
            raise click.UsageError(f"All four stems are needed; missing: {', '.join(missing)}")
        if stems_dirs:
            raise click.UsageError("Give either --stems-dir or the four stems.")
        files = StemFiles(**given)
    if not paths and not stems_dirs and files is None:
        raise click.UsageError("Nothing to analyse: give songs, or --stems-dir.", ctx)
    return make_tracks(paths, stems_dirs, files)


#: Options that a session has under the same names.
_SESSION_OPTIONS = (
    *("model", "device", "parity", "weights_dir", "threads", "guard", "calibrate"),
    *("timings_path", "timings_viz_path", "keep_stems", "demix_dir"),
)

#: Option of the command line for each parameter of separation.
_DEMIX_OPTIONS = {
    "model": "demucs_model",
    "weights": "demucs_weights",
    "shifts": "demucs_shifts",
    "overlap": "demucs_overlap",
    "segment_s": "demucs_segment",
    "seed": "demix_seed",
    "precision": "demix_precision",
    "batch_size": "demix_batch_size",
    "trust_weights": "trust_demucs_weights",
}


def _demix(options: dict[str, Any]) -> Any:
    """Take the parameters of separation out of `options`."""
    from allin1_core.contracts.demix import DemixParameters

    given = {name: options.pop(option) for name, option in _DEMIX_OPTIONS.items()}
    return DemixParameters(**{k: v for k, v in given.items() if v is not None}).validate()


def _metre(options: dict[str, Any]) -> Any:
    from dataclasses import replace

    from allin1_core.contracts.metre import MetreParameters

    given = {name: value for name, value in options.items() if value is not None}
    if given.get("num_tempi") == 0:
        given["num_tempi"] = None
    return replace(MetreParameters(), **given).validate()


def _tell_model(outcome: Outcome, told: set[str]) -> None:
    """Say which model was chosen where none was named, and how to get the other; once for each."""
    provenance = None if outcome.result is None else outcome.result.provenance
    if provenance is None or not provenance.model_reason or provenance.model in told:
        return
    told.add(provenance.model)
    click.echo(f"allin1: model {provenance.model}. {provenance.model_reason}", err=True)


def _report(
    outcome: Outcome, as_json: bool, quiet: bool, traceback: bool, told: dict[str, Track]
) -> None:
    """Print what became of a track; `told` has the first track of each error that concerns no file."""
    error, result = outcome.error, outcome.result
    if error is not None:
        if traceback:
            import traceback as tb

            click.echo("".join(tb.format_exception(error)), err=True, nl=False)
        # The same backend fails for every track in the same way: that is read once.
        first = outcome.track if error.path else told.setdefault(str(error), outcome.track)
        if first is outcome.track:
            click.echo(f"allin1: error: {_named(error, outcome.track)}", err=True)
        else:
            text = f"{outcome.track.source}: failed as {first.source} did"
            click.echo(f"allin1: error: {text}", err=True)
        if as_json:
            import json

            click.echo(json.dumps({"path": str(outcome.track.source), "error": str(error)}))
        return
    if result is None:
        return
    if not quiet:
        for warning in result.warnings:
            click.echo(f"allin1: {outcome.track.name}: {warning}", err=True)
    if as_json:
        import json

        from allin1_core.io.results import to_json

        click.echo(json.dumps({**to_json(result), "written": str(outcome.written)}))
    elif not quiet:
        bpm = "no tempo" if result.bpm is None else f"{result.bpm} bpm"
        labels = " ".join(segment.label for segment in result.segments)
        click.echo(
            f"{outcome.written}: {bpm}, {len(result.beats)} beats,"
            f" {len(result.downbeats)} downbeats, {len(result.segments)} segments: {labels}"
        )


def _named(error: Allin1Error, track: Track) -> str:
    """Give the error with the track in front, unless it names a file of it already."""
    text = str(error)
    return text if str(track.source) in text else f"{track.source}: {text}"
