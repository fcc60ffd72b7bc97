"""``allin1 analyze``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from allin1_core.cli.family import family_options, refuse_unknown, translate
from allin1_core.cli.help_groups import GroupedCommand
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
    validated,
)

if TYPE_CHECKING:
    from allin1_core.runtime.executors import Executor
    from allin1_core.runtime.extras import Extras
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import Track

STEM_OPTIONS = ("bass", "drums", "other", "vocals")

#: What ``--overwrite`` may name, as upstream's does; ``spec`` is that of the cache here.
OVERWRITABLE = ("all", "demix", "spec", "json", "viz", "sonify", "export")


class AnalyzeCommand(GroupedCommand):
    """A command whose ``--overwrite`` may stand alone, for all, also in front of a song."""

    COMMON: ClassVar[Mapping[str, str]] = {
        "out_dir": "Where results are written: ./struct unless given.",
        "model": "What analyses; without it, the best that can run here.",
        "device": "cpu, cuda, cuda:1, mps …, or cuda:0,1 for both.",
        "jobs": "Processes that share the songs.",
        "stems_dirs": "Ready-made bass, drums, other and vocals.",
        "only": "Find nothing else; faster.",
        "activ": "Also write the activations.",
        "visualize": "Also draw each result, in ./viz.",
        "sonify": "Also write songs with clicks, in ./sonif.",
        "exports": "Also write it for other programs (allin1 export --list).",
        "overwrite": "Make again what is up to date; replace what differs.",
        "as_json": "Print results, and write no files unless -o is given.",
        "quiet": "Print errors only.",
    }
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {
        "Songs and stems": (
            *("lists", "include", "stems_dirs", "stems_bass", "stems_drums", "stems_other"),
            *("stems_vocals", "stems_pattern"),
        ),
        "Results": (
            *("out_dir", "pattern", "only", "activ", "embed", "array_dir", "overwrite"),
            *("report", "as_json", "quiet", "verbose"),
        ),
        "Pictures, sound, exports": (
            *("visualize", "viz_dir", "viz_format", "sonify", "sonif_dir", "sonif_format"),
            *("exports",),
        ),
        "Model and backends": (
            *("model", "weights_dir", "device", "jobs", "threads", "backends"),
            *("spec_backend", "plugin_options", "parity"),
        ),
        "Measuring and checking": (
            *("guard", "calibrate", "cache", "timings_path", "timings_viz_path"),
        ),
        "Tempo and metre": (
            *("beats_per_bar", "min_bpm", "max_bpm", "num_tempi", "transition_lambda"),
            *("observation_lambda", "threshold", "tempo_prior", "correct"),
        ),
        "Separation": (
            *("keep_stems", "demix_dir", "demucs_model", "demucs_weights"),
            *("demucs_shifts", "demucs_overlap", "demucs_segment"),
            *("demix_seed", "demix_precision", "demix_batch_size", "trust_demucs_weights"),
        ),
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell ``--overwrite song.wav`` from ``--overwrite demix,json``."""
        refuse_unknown(args)
        filled: list[str] = []
        for i, arg in enumerate(args):
            if arg == "--":
                filled += args[i:]
                break
            filled.append(arg)
            if arg == "--overwrite":
                following = args[i + 1].split(",") if i + 1 < len(args) else []
                if not following or not set(following) <= set(OVERWRITABLE):
                    filled.append("all")
        return super().parse_args(ctx, filled)


def _overwrite_parts(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> frozenset[str]:
    parts = frozenset(value.split(",")) if value else frozenset[str]()
    unknown = parts - set(OVERWRITABLE)
    if unknown:
        raise click.BadParameter(f"wanted any of {', '.join(OVERWRITABLE)}", ctx, param)
    return frozenset(OVERWRITABLE) if "all" in parts else parts


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


@click.command(cls=AnalyzeCommand)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--out-dir",
    type=click.Path(path_type=Path),
    help="Where results are written.  [default: struct; with --json nowhere]",
)
@click.option(
    "--from-list",
    "lists",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Also analyse the songs that a text file or an M3U playlist names; may be repeated.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="What to take from folders, such as '*.mp3', instead of all audio; may be repeated.",
)
@click.option(
    "--name",
    "pattern",
    default="{name}",
    show_default=True,
    metavar="PATTERN",
    help="What results are called; {name} is the song's, {model} the model's.",
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
    "--stems-pattern",
    metavar="PATTERN",
    help="Name of the stems of a song, such as '{name}_({stem}).flac', in --stems-dir or else beside it.",
)
@click.option(
    "-d",
    "--device",
    help="cpu, cuda, cuda:1, mps … for the stages that can run there; cuda:0,1 for a process on each.  [default: auto]",
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
    "--array-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also put the arrays of -a and -e there.",
)
@click.option(
    "--only",
    type=click.Choice(["beats", "tempo", "sections"]),
    help="Find these, and spend no time on the rest; tempo comes with beats.",
)
@click.option(
    "--overwrite",
    callback=_overwrite_parts,
    metavar="[WHAT]",
    help="Make again what is up to date, and replace what belongs to other inputs, models or options: all, or any of"
    " json, demix, viz, sonify, export, separated by commas.",
)
@click.option("-v", "--visualize", is_flag=True, help="Also draw each result.")
@click.option(
    "--viz-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("viz"),
    show_default=True,
    help="Folder of the pictures.",
)
@click.option("--viz-format", type=click.Choice(["pdf", "png", "svg"]), default="pdf")
@click.option("-s", "--sonify", is_flag=True, help="Also write each song with clicks on its beats.")
@click.option(
    "--sonif-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("sonif"),
    show_default=True,
    help="Folder of the songs with clicks.",
)
@click.option(
    "--sonif-format", type=click.Choice(["wav", "flac", "ogg", "opus", "mp3"]), default="wav"
)
@click.option(
    "--export",
    "exports",
    multiple=True,
    metavar="FORMAT",
    help="Also write each result in this format (allin1 export --list); may be repeated.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a line of JSON for each song: input, output, status, seconds, error.",
)
@click.option("--cache/--no-cache", default=True, help="Keep and use logits of earlier runs.")
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
    "--keep-byproducts",
    "keep_stems",
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
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that share the songs, and the threads of the CPU.  [default: one a device]",
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
@click.option(
    "--verbose",
    is_flag=True,
    help="Say what happens, without a terminal too: a line every half minute.",
)
@family_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    out_dir: Path | None,
    lists: tuple[Path, ...],
    include: tuple[str, ...],
    pattern: str,
    stems_dirs: tuple[Path, ...],
    backends: tuple[tuple[Any, str], ...],
    plugin_options: tuple[tuple[str, str, str], ...],
    spec_backend: str | None,
    activ: bool,
    embed: bool,
    only: str | None,
    overwrite: frozenset[str],
    report: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **rest: Any,
) -> None:
    """Analyse songs, or their ready-made stems, and write one JSON for each.

    PATHS: files, folders, patterns in quotes, or - for audio on stdin.

    \b
    allin1 analyze song.mp3 album/ -o struct
    """  # noqa: D301 - click reads the backspace
    from contextlib import ExitStack

    from allin1_core.api import spectrogram_choice
    from allin1_core.cli.progress import show_progress
    from allin1_core.cli.reporting import Reporter
    from allin1_core.runtime.executors import parse_devices
    from allin1_core.runtime.session import Session

    if quiet and verbose:
        raise click.UsageError("Give either --quiet or --verbose.")
    if verbose:
        logging.getLogger("allin1_core").setLevel(logging.INFO)
    translate(rest, quiet=quiet)
    stems = {name: rest.pop(f"stems_{name}") for name in STEM_OPTIONS}
    only = "beats" if only == "tempo" else only
    if out_dir is None and not as_json:
        out_dir = Path("struct")
    show_calibration(not quiet)
    plugins = load_plugins(ctx)
    extras = _extras(rest, plugins, out_dir, overwrite)
    with ExitStack() as stack:
        songs = [stack.enter_context(_song(path)) for path in _songs(paths, lists, include)]
        tracks = _tracks(ctx, songs, stems_dirs, stems, rest.pop("stems_pattern"))
        options: dict[str, Any] = {
            **{name: rest.pop(name) for name in _SESSION_OPTIONS},
            "backends": spectrogram_choice(dict(backends), spec_backend),
            "plugin_options": by_plugin(plugin_options),
            "demix": _demix(rest),
            "overwrite_stems": "demix" in overwrite,
        }
        devices = parse_devices(options["device"]) if options["device"] else ()
        options["device"] = devices[0] if devices else None
        jobs = rest.pop("jobs") or max(1, len(devices))
        options["metre"] = _metre(rest)
        session = stack.enter_context(Session(**options, plugins=plugins))
        tracks = _renamed(tracks, pattern, session)
        reporter = Reporter(
            len(tracks),
            as_json=as_json,
            quiet=quiet,
            traceback=bool(ctx.find_root().obj["traceback"]),
            report=report,
        )
        with show_progress(tracks, enabled=not (quiet or as_json), verbose=verbose) as progress:
            outcomes = _executor(ctx, session, options, jobs, devices).run(
                tracks,
                out_dir=out_dir,
                overwrite="json" in overwrite,
                include_activations=activ,
                include_embeddings=embed,
                only=only,
                progress=progress,
            )
            for outcome in outcomes:
                reporter.add(outcome)
                for error in extras.make(outcome):
                    reporter.add_error(error, outcome.track)
        for error in extras.finish():
            reporter.add_error(error, tracks[-1])
        reporter.finish()
    ctx.exit(reporter.exit_status)


def _executor(
    ctx: click.Context, session: Session, options: dict[str, Any], jobs: int, devices: Sequence[str]
) -> Executor:
    """Who runs the batch. Processes make sessions like `session`, which is not used then."""
    from allin1_core.runtime.executors import InProcess, InWorkers
    from allin1_core.runtime.worker_process import SessionRecipe

    if jobs == 1:
        return InProcess(session)
    group = ctx.find_root().obj or {}
    named = dict(options)
    recipe = SessionRecipe(
        named.pop("model"), named, tuple(group.get("block", ())), group.get("strict")
    )
    return InWorkers(recipe, jobs, devices)


def _extras(
    options: dict[str, Any], plugins: Any, out_dir: Path | None, overwrite: frozenset[str]
) -> Extras:
    """Take what is to be made of results out of `options`, and check that it can be made."""
    from allin1_core.runtime.extras import Extras

    exporters = []
    if names := options.pop("exports"):
        from allin1_core.plugins.collecting import collect_offers
        from allin1_core.runtime.exporting import find_exporter

        offers = collect_offers(plugins)
        exporters = [find_exporter(offers, name) for name in dict.fromkeys(names)]
    viz_dir, sonif_dir = options.pop("viz_dir"), options.pop("sonif_dir")
    extras = Extras(
        array_dir=options.pop("array_dir"),
        viz_dir=viz_dir if options.pop("visualize") else None,
        viz_format=options.pop("viz_format"),
        sonif_dir=sonif_dir if options.pop("sonify") else None,
        sonif_format=options.pop("sonif_format"),
        exporters=tuple(exporters),
        export_dir=out_dir or Path(),
        overwrite=overwrite,
    )
    extras.check()
    return extras


def _songs(
    paths: tuple[Path, ...], lists: tuple[Path, ...], include: tuple[str, ...]
) -> list[Path]:
    from allin1_core.io.inputs import find_songs, read_list

    named = [*paths, *(song for path in lists for song in read_list(path))]
    # Each once, where it was named first.
    return list(dict.fromkeys(find_songs(named, include=include)))


@contextmanager
def _song(path: Path) -> Iterator[Path]:
    """The path of a song; what comes on stdin is kept in a file as long as it is needed."""
    if str(path) != "-":
        yield path
        return
    import shutil
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(prefix="allin1-") as folder:
        song = Path(folder) / "stdin"
        with song.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield song


def _model_of(track: Track, session: Session) -> str:
    """Name of the model for a track; where its files cannot be read, as its analysis will say, that for any song."""
    from allin1_core.errors import Allin1Error

    try:
        return session.choose_model(track).card.name
    except Allin1Error:
        return session.card.name


def _renamed(tracks: list[Track], pattern: str, session: Session) -> list[Track]:
    """Name results by a pattern."""
    from dataclasses import replace

    from allin1_core.io.names import portable_name

    if pattern == "{name}":
        return tracks
    try:
        pattern.format(name="", model="")
        models = [_model_of(t, session) if "{model" in pattern else "" for t in tracks]
        names = [
            portable_name(pattern.format(name=track.name, model=model))
            for track, model in zip(tracks, models, strict=True)
        ]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise click.BadParameter(
            "wanted a text with {name} and {model}", param_hint="--name"
        ) from error
    if len(set(names)) < len({track.name for track in tracks}):
        raise click.BadParameter("several songs would have one name", param_hint="--name")
    return [replace(track, name=name) for track, name in zip(tracks, names, strict=True)]


def _tracks(
    ctx: click.Context,
    paths: Sequence[Path],
    stems_dirs: tuple[Path, ...],
    stems: dict[str, Path | None],
    pattern: str | None,
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
    if pattern is None:
        return make_tracks(paths, stems_dirs, files)
    from dataclasses import replace

    from allin1_core.io.stem_patterns import stems_by_pattern

    if files is not None or not paths or len(stems_dirs) > 1:
        raise click.UsageError(
            "--stems-pattern goes with songs, and at most one --stems-dir, where their stems are."
        )
    folder = stems_dirs[0] if stems_dirs else None
    return [
        replace(track, stems=stems_by_pattern(track.source, pattern, folder))
        for track in make_tracks(paths)
    ]


#: Options that a session has under the same names.
_SESSION_OPTIONS = (
    *("model", "device", "parity", "weights_dir", "threads", "guard", "calibrate"),
    *("timings_path", "timings_viz_path", "keep_stems", "demix_dir", "cache"),
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
    parameters = DemixParameters(**{k: v for k, v in given.items() if v is not None})
    return validated(parameters, _DEMIX_OPTIONS)


def _metre(options: dict[str, Any]) -> Any:
    from dataclasses import replace

    from allin1_core.contracts.metre import MetreParameters

    given = {name: value for name, value in options.items() if value is not None}
    if given.get("num_tempi") == 0:
        given["num_tempi"] = None
    return validated(replace(MetreParameters(), **given), {})
