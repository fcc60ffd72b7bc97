"""``allin1 analyze``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.analyze_inputs import find_paths, received, renamed, tracks_of, with_received
from allin1_core.cli.analyze_options import STEM_OPTIONS, AnalyzeCommand, analyze_options
from allin1_core.cli.family import translate
from allin1_core.cli.main import load_plugins, read_audio_with
from allin1_core.cli.parameters import by_plugin, show_calibration, validated

if TYPE_CHECKING:
    from allin1_core.runtime.extras import Extras
    from allin1_core.runtime.worker_process import SessionRecipe


@click.command(cls=AnalyzeCommand)
@analyze_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    out_dir: Path | None,
    lists: tuple[Path, ...],
    include: tuple[str, ...],
    pattern: str,
    stems_dirs: tuple[Path, ...],
    backends: tuple[tuple[Any, str], ...],
    plugin_options: tuple[tuple[str, str, str], ...],
    spec_backend: str | None,
    executor: str | None,
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

    PATHS: files, URLs, folders, patterns in quotes, or - for audio on stdin.

    \b
    allin1 analyze song.mp3 album/ -o struct
    """  # noqa: D301 - click reads the backspace
    from contextlib import ExitStack

    from allin1_core.api import spectrogram_choice
    from allin1_core.cli.progress import show_progress
    from allin1_core.cli.reporting import Reporter, check_report
    from allin1_core.io.side_files import refuse_same_file
    from allin1_core.paths import Anchors
    from allin1_core.runtime.device_list import parse_devices
    from allin1_core.runtime.executor_choice import make_executor
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
    # Code of plugins may change the current folder.
    anchors = Anchors()
    for name in _PATHS:
        rest[name] = None if rest[name] is None else anchors.absolute(rest[name])
    stems_dirs = tuple(anchors.absolute(folder) for folder in stems_dirs)
    report = None if report is None else anchors.absolute(report)
    out_dir = None if out_dir is None else anchors.absolute(out_dir)
    show_calibration(not quiet)
    plugins = load_plugins(ctx)
    read_audio_with(plugins)  # the search of folders must know the formats that they read
    if report is not None:
        check_report(report)
    timings = {f"--{name.replace('_', '-')}": rest[name] for name in _TIMINGS}
    refuse_same_file({"--report": report, **timings})
    extras = _extras(rest, plugins, out_dir, overwrite)
    with ExitStack() as stack:
        songs, errors = find_paths(paths, lists, include)
        stdin = stack.enter_context(received(songs, errors))
        is_any = bool(errors)
        tracks = tracks_of(ctx, songs, stems_dirs, stems, rest.pop("stems_pattern"), is_any=is_any)
        tracks = with_received(tracks, stdin)
        options: dict[str, Any] = {
            **{name: rest.pop(name) for name in _SESSION_OPTIONS},
            "backends": spectrogram_choice(dict(backends), spec_backend),
            "plugin_options": by_plugin(plugin_options),
            "demix": _demix(rest),
            "overwrite_stems": "demix" in overwrite,
            "overwrite_timings_viz": "viz" in overwrite,
        }
        devices = parse_devices(options["device"]) if options["device"] else ()
        options["device"] = devices[0] if devices else None
        jobs = rest.pop("jobs")
        options["metre"] = _metre(rest)
        session = stack.enter_context(Session(**options, plugins=plugins))
        tracks = renamed(tracks, pattern, session)
        runner = make_executor(executor, session, _recipe(ctx, options), jobs=jobs, devices=devices)
        reporter = Reporter(
            len(tracks) + len(errors),
            as_json=as_json,
            quiet=quiet,
            traceback=bool(ctx.find_root().obj["traceback"]),
            report=report,
            anchors=anchors,
        )
        for error in errors:
            reporter.add_input(error)
        with show_progress(tracks, enabled=not (quiet or as_json), verbose=verbose) as progress:
            outcomes = runner.run(
                tracks,
                out_dir=out_dir,
                overwrite="json" in overwrite,
                include_activations=activ,
                include_embeddings=embed,
                only=only,
                progress=progress,
            )
            for outcome in outcomes:
                progress.next_is_given()
                reporter.add(outcome)
                for failure in extras.make(outcome):
                    reporter.add_error(failure, outcome.track)
        for failure in extras.finish():
            reporter.add_error(failure, tracks[-1])
        reporter.finish()
    ctx.exit(reporter.exit_status)


def _recipe(ctx: click.Context, options: dict[str, Any]) -> SessionRecipe:
    """What other processes need to create a session with these options."""
    from allin1_core.runtime.worker_process import SessionRecipe

    group = ctx.find_root().obj or {}
    named = dict(options)
    return SessionRecipe(
        named.pop("model"), named, tuple(group.get("block", ())), group.get("strict")
    )


def _extras(
    options: dict[str, Any], plugins: Any, out_dir: Path | None, overwrite: frozenset[str]
) -> Extras:
    """Take the options of pictures, sound and exports out of `options`, and check them."""
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


#: Options that name a file of timings.
_TIMINGS = ("timings_path", "timings_viz_path")

#: Options that name a file or folder.
_PATHS = ("viz_dir", "sonif_dir", "array_dir", "demix_dir", "weights_dir", *_TIMINGS)

#: Options that are also parameters of a session, under the same names.
_SESSION_OPTIONS = (
    *("model", "device", "parity", "weights_dir", "threads", "guard", "calibrate"),
    *(*_TIMINGS, "keep_stems", "demix_dir", "cache"),
)

#: The command-line option for each parameter of separation.
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
    """Make the parameters of metre from all remaining `options`."""
    from dataclasses import replace

    from allin1_core.contracts.metre import MetreParameters

    given = {name: value for name, value in options.items() if value is not None}
    if given.get("num_tempi") == 0:
        given["num_tempi"] = None
    return validated(replace(MetreParameters(), **given), {})
