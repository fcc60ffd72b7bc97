"""The options of ``allin1 analyze``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click

from allin1_core.cli.family import family_options, refuse_unknown
from allin1_core.cli.help_groups import GroupedCommand
from allin1_core.cli.parameters import (
    PICTURE_FORMAT,
    SOUND_FORMAT,
    backend_option,
    calibrate_option,
    model_option,
    parity_option,
    plugin_option,
    steady_phase_option,
    tempo_prior_option,
)

STEM_OPTIONS = ("bass", "drums", "other", "vocals")

#: Values of ``--overwrite``, as in all-in-one; ``spec`` is accepted and has no effect, as spectrograms are not kept.
OVERWRITABLE = ("all", "demix", "spec", "json", "viz", "sonify", "export")


class AnalyzeCommand(GroupedCommand):
    """A command whose ``--overwrite`` may be given without a value, which means all, even before a song."""

    COMMON: ClassVar[Mapping[str, str]] = {
        "out_dir": "Folder for the results (default ./struct).",
        "model": "Model; by default, the best that can run here.",
        "device": "cpu, cuda, cuda:1, mps …; cuda:0,1; cuda:all.",
        "jobs": "Number of processes.",
        "stems_dirs": "Ready-made bass, drums, other and vocals.",
        "only": "Detect nothing else; faster.",
        "activ": "Also write the activations.",
        "visualize": "Also draw each result, in ./viz.",
        "sonify": "Also write songs with clicks, in ./sonif.",
        "exports": "Also write it for other programs (allin1 export --list).",
        "overwrite": "Recompute and replace existing output.",
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
            *("model", "weights_dir", "backends", "spec_backend", "plugin_options", "parity"),
        ),
        "Devices and processes": ("device", "jobs", "executor", "threads"),
        "Measuring and checking": (
            *("guard", "calibrate", "cache", "timings_path", "timings_viz_path"),
        ),
        "Tempo and metre": (
            *("beats_per_bar", "min_bpm", "max_bpm", "num_tempi", "transition_lambda"),
            *("observation_lambda", "threshold", "tempo_prior", "steady_phase", "correct"),
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
        raise click.BadParameter(
            f"{min(unknown)!r} is not one of {', '.join(OVERWRITABLE)}", ctx, param
        )
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


def stem_options(function: Any) -> Any:
    """Add an option for each of the four stems to a command."""
    for stem in reversed(STEM_OPTIONS):
        option = click.option(
            f"--stems-{stem}",
            type=click.Path(path_type=Path, readable=False),
            metavar="FILE",
            help=f"The {stem} stem; give all four.",
        )
        function = option(function)
    return function


_OPTIONS = (
    # Strings, as converting a URL to a Path would change it. Not checked here: an unreadable file must not end the batch.
    click.argument(
        "paths", nargs=-1, type=click.Path(path_type=str, allow_dash=True, readable=False)
    ),
    click.option(
        "-o",
        "--out-dir",
        type=click.Path(path_type=Path),
        help="Folder for the results.  [default: struct; none with --json]",
    ),
    click.option(
        "--from-list",
        "lists",
        multiple=True,
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Also analyse the songs in a text file or an M3U playlist, or - for a list on stdin; may be repeated.",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Pattern of the files to analyse in folders, such as '*.mp3', instead of all audio; may be repeated.",
    ),
    click.option(
        "--name",
        "pattern",
        default="{name}",
        show_default=True,
        metavar="PATTERN",
        help="Name of each result; {name} is the name of the song, {model} that of the model.",
    ),
    model_option,
    click.option(
        "--stems-dir",
        "stems_dirs",
        multiple=True,
        type=click.Path(path_type=Path, readable=False),
        metavar="FOLDER",
        help="Ready-made stems: a folder with bass, drums, other and vocals. May be repeated if no PATHS are given;"
        " with several PATHS, a folder with a subfolder of stems for each, named after the song.",
    ),
    stem_options,
    click.option(
        "--stems-pattern",
        metavar="PATTERN",
        help="File name of the stems of a song, such as '{name}_({stem}).flac', in --stems-dir or beside the song.",
    ),
    click.option(
        "-d",
        "--device",
        help="Device for the stages that can run there: cpu, cuda, cuda:1, mps …; cuda:0,1 starts one process on each,"
        " cuda:all one on every GPU.  [default: auto]",
    ),
    backend_option,
    plugin_option,
    click.option(
        "--spec-backend", metavar="NAME", help="Short for --backend spectrogram=NAME; auto for any."
    ),
    parity_option,
    click.option(
        "--weights-dir", type=click.Path(path_type=Path), help="Folder to search for weights."
    ),
    click.option("-a", "--activ", is_flag=True, help="Also write the activations (.activ.npz)."),
    click.option("-e", "--embed", is_flag=True, help="Also write the embeddings (.embed.npy)."),
    click.option(
        "--array-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Also write the arrays of -a and -e to this folder.",
    ),
    click.option(
        "--only",
        type=click.Choice(["beats", "tempo", "sections"]),
        help="Detect only these, which is faster; tempo includes beats.",
    ),
    click.option(
        "--overwrite",
        callback=_overwrite_parts,
        metavar="[WHAT]",
        help="Recompute output that is up to date, and replace output of other inputs, models or options: all, or any of"
        " json, demix, viz (also the picture of timings), sonify, export, separated by commas.",
    ),
    click.option("-v", "--visualize", is_flag=True, help="Also draw each result."),
    click.option(
        "--viz-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("viz"),
        show_default=True,
        help="Folder for the pictures.",
    ),
    click.option(
        "--viz-format",
        type=PICTURE_FORMAT,
        default="pdf",
        show_default=True,
        help="Format of the pictures.",
    ),
    click.option(
        "-s", "--sonify", is_flag=True, help="Also write each song with clicks on its beats."
    ),
    click.option(
        "--sonif-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("sonif"),
        show_default=True,
        help="Folder for the songs with clicks.",
    ),
    click.option(
        "--sonif-format",
        type=SOUND_FORMAT,
        default="wav",
        show_default=True,
        help="Format of the audio files.",
    ),
    click.option(
        "--export",
        "exports",
        multiple=True,
        metavar="FORMAT",
        help="Also write each result in this format (allin1 export --list); may be repeated.",
    ),
    click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write one line of JSON per song: input, output, status, seconds, error. An earlier report is replaced.",
    ),
    click.option(
        "--cache/--no-cache", default=True, help="Store logits, and use those of earlier runs."
    ),
    click.option(
        "--beats-per-bar",
        type=Metres(),
        help="Metres to choose from.  [default: 3,4]",
    ),
    click.option("--min-bpm", type=float, help="Slowest tempo.  [default: 55]"),
    click.option("--max-bpm", type=float, help="Fastest tempo.  [default: 215]"),
    click.option(
        "--num-tempi", type=int, help="Number of tempi to model; 0 for all.  [default: 60]"
    ),
    click.option(
        "--transition-lambda", type=float, help="Steadiness of the tempo.  [default: the model's]"
    ),
    click.option(
        "--observation-lambda", type=int, help="A beat takes 1/N of its interval.  [default: 16]"
    ),
    click.option(
        "--threshold",
        type=float,
        help="Decode from the first to the last frame whose activation reaches this; 0 for all.  [default: the model's]",
    ),
    tempo_prior_option,
    steady_phase_option,
    click.option(
        "--correct/--no-correct",
        default=True,
        help="Move beats to nearby peaks.  [default: on]",
    ),
    click.option(
        "--demucs-model", help="Model that separates songs without stems.  [default: htdemucs]"
    ),
    click.option(
        "--demucs-weights",
        metavar="FOLDER",
        help="Folder with its weights; random:SEED for seeded random weights, for tests.",
    ),
    click.option(
        "--trust-demucs-weights",
        is_flag=True,
        default=None,
        help="Also load weights that can execute arbitrary code with your permissions: pickles of more than tensors, and"
        " classes that are not part of Demucs. Only for files whose author you trust.",
    ),
    click.option(
        "--demucs-shifts",
        type=int,
        help="Shifted separations to average.  [default: 1]",
    ),
    click.option("--demucs-overlap", type=float, help="Overlap of segments.  [default: 0.25]"),
    click.option(
        "--demucs-segment",
        type=float,
        help="Seconds per segment.  [default: the model's]",
    ),
    click.option("--demix-seed", type=int, help="Seed of the random shifts.  [default: 0]"),
    click.option(
        "--demix-precision",
        type=click.Choice(["auto", "float32", "tf32", "float16"]),
        help="Lowest precision that separation may use.  [default: auto]",
    ),
    click.option("--demix-batch-size", type=int, help="Number of segments to separate at once."),
    click.option(
        "-k",
        "--keep-stems",
        "--keep-byproducts",
        "keep_stems",
        is_flag=True,
        help="Keep separated stems as WAV files, and reuse them.",
    ),
    click.option(
        "--demix-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Folder for kept stems; those of the same song and parameters are reused, with or without -k."
        "  [default with -k: demix]",
    ),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of processes, which share the songs and the threads of the CPU.  [default: one per device]",
    ),
    click.option(
        "--executor",
        metavar="NAME",
        help="Executor that runs the batch; 'allin1 plugins' lists them.  [default: local]",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="Number of CPU threads."),
    click.option(
        "--guard",
        is_flag=True,
        help="Check each backend against the reference on 10 s of the first track, and replace one that"
        " differs more than it declares.",
    ),
    calibrate_option,
    click.option(
        "--timings-path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Append one line of JSON per stage that has run; only a file of timings is appended to.",
    ),
    click.option(
        "--timings-viz-path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Draw the stages of each track over time: PDF, PNG or SVG. --overwrite replaces such a picture.",
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object per track on stdout."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option(
        "--verbose",
        is_flag=True,
        help="Log what happens, and without a terminal, print the progress every half minute.",
    ),
    family_options,
)


def analyze_options(function: Any) -> Any:
    """Add all options to a command, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
