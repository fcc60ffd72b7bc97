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

#: What ``--overwrite`` may name, as upstream's does; ``spec`` is that of the cache here.
OVERWRITABLE = ("all", "demix", "spec", "json", "viz", "sonify", "export")


class AnalyzeCommand(GroupedCommand):
    """A command whose ``--overwrite`` may stand alone, for all, also in front of a song."""

    COMMON: ClassVar[Mapping[str, str]] = {
        "out_dir": "Where results are written: ./struct unless given.",
        "model": "What analyses; without it, the best that can run here.",
        "device": "cpu, cuda, cuda:1, mps …; cuda:0,1; cuda:all.",
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


def stem_options(function: Any) -> Any:
    """Give a command an option for each of the four stems."""
    for stem in reversed(STEM_OPTIONS):
        option = click.option(
            f"--stems-{stem}",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"The {stem} stem; give all four.",
        )
        function = option(function)
    return function


_OPTIONS = (
    # As text: of a URL, a Path would make something else.
    click.argument("paths", nargs=-1, type=click.Path(path_type=str, allow_dash=True)),
    click.option(
        "-o",
        "--out-dir",
        type=click.Path(path_type=Path),
        help="Where results are written.  [default: struct; with --json nowhere]",
    ),
    click.option(
        "--from-list",
        "lists",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Also analyse the songs that a text file or an M3U playlist names, - for one on stdin; may be repeated.",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="What to take from folders, such as '*.mp3', instead of all audio; may be repeated.",
    ),
    click.option(
        "--name",
        "pattern",
        default="{name}",
        show_default=True,
        metavar="PATTERN",
        help="What results are called; {name} is the song's, {model} the model's.",
    ),
    model_option,
    click.option(
        "--stems-dir",
        "stems_dirs",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Ready-made stems: a folder with bass, drums, other and vocals. Without PATHS it may be repeated;"
        " with several PATHS it holds a folder of stems for each, named like it.",
    ),
    stem_options,
    click.option(
        "--stems-pattern",
        metavar="PATTERN",
        help="Name of the stems of a song, such as '{name}_({stem}).flac', in --stems-dir or else beside it.",
    ),
    click.option(
        "-d",
        "--device",
        help="cpu, cuda, cuda:1, mps … for the stages that can run there; cuda:0,1 for a process on each,"
        " cuda:all for one on each that there is.  [default: auto]",
    ),
    backend_option,
    plugin_option,
    click.option(
        "--spec-backend", metavar="NAME", help="Short for --backend spectrogram=NAME; auto for any."
    ),
    parity_option,
    click.option(
        "--weights-dir", type=click.Path(path_type=Path), help="Folder to look for weights in."
    ),
    click.option("-a", "--activ", is_flag=True, help="Also write the activations (.activ.npz)."),
    click.option("-e", "--embed", is_flag=True, help="Also write the embeddings (.embed.npy)."),
    click.option(
        "--array-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Also put the arrays of -a and -e there.",
    ),
    click.option(
        "--only",
        type=click.Choice(["beats", "tempo", "sections"]),
        help="Find these, and spend no time on the rest; tempo comes with beats.",
    ),
    click.option(
        "--overwrite",
        callback=_overwrite_parts,
        metavar="[WHAT]",
        help="Make again what is up to date, and replace what belongs to other inputs, models or options: all, or any of"
        " json, demix, viz, sonify, export, separated by commas.",
    ),
    click.option("-v", "--visualize", is_flag=True, help="Also draw each result."),
    click.option(
        "--viz-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("viz"),
        show_default=True,
        help="Folder of the pictures.",
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
        help="Folder of the songs with clicks.",
    ),
    click.option(
        "--sonif-format",
        type=SOUND_FORMAT,
        default="wav",
        show_default=True,
        help="Format of the sound.",
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
        help="Write a line of JSON for each song: input, output, status, seconds, error.",
    ),
    click.option("--cache/--no-cache", default=True, help="Keep and use logits of earlier runs."),
    click.option(
        "--beats-per-bar",
        type=Metres(),
        help="Metres to choose from.  [default: 3,4]",
    ),
    click.option("--min-bpm", type=float, help="Slowest tempo.  [default: 55]"),
    click.option("--max-bpm", type=float, help="Fastest tempo.  [default: 215]"),
    click.option("--num-tempi", type=int, help="Tempi to model; 0 for all.  [default: 60]"),
    click.option(
        "--transition-lambda", type=float, help="Steadiness of the tempo.  [default: the model's]"
    ),
    click.option(
        "--observation-lambda", type=int, help="A beat takes 1/N of its interval.  [default: 16]"
    ),
    click.option(
        "--threshold",
        type=float,
        help="Decode from the first frame that reaches this to the last; 0 for all.  [default: the model's]",
    ),
    tempo_prior_option,
    steady_phase_option,
    click.option(
        "--correct/--no-correct",
        default=True,
        help="Move beats to the nearby peaks.  [default: on]",
    ),
    click.option(
        "--demucs-model", help="Model that separates songs without stems.  [default: htdemucs]"
    ),
    click.option(
        "--demucs-weights",
        metavar="FOLDER",
        help="Folder with its files; random:SEED for seeded random weights, to test with.",
    ),
    click.option(
        "--trust-demucs-weights",
        is_flag=True,
        default=None,
        help="Also load weights that can run any code, as you, when they are loaded: pickles of more than tensors, and classes"
        " that are not Demucs' own. Only for files whose author you trust.",
    ),
    click.option(
        "--demucs-shifts", type=int, help="Mean of so many shifted separations.  [default: 1]"
    ),
    click.option("--demucs-overlap", type=float, help="Overlap of segments.  [default: 0.25]"),
    click.option(
        "--demucs-segment", type=float, help="Seconds in a segment.  [default: the model's]"
    ),
    click.option("--demix-seed", type=int, help="Seed of the random shifts.  [default: 0]"),
    click.option(
        "--demix-precision",
        type=click.Choice(["auto", "float32", "tf32", "float16"]),
        help="Least exact arithmetic that separation may use.  [default: auto]",
    ),
    click.option("--demix-batch-size", type=int, help="Segments to separate at once."),
    click.option(
        "-k",
        "--keep-stems",
        "--keep-byproducts",
        "keep_stems",
        is_flag=True,
        help="Keep the stems of separated songs as WAV files, and use them again.",
    ),
    click.option(
        "--demix-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Folder of kept stems; those of the same song and parameters are used again, with or without -k."
        "  [default with -k: demix]",
    ),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Processes that share the songs, and the threads of the CPU.  [default: one a device]",
    ),
    click.option(
        "--executor",
        metavar="NAME",
        help="Who runs the songs; 'allin1 plugins' lists executors.  [default: local]",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="Threads on a CPU."),
    click.option(
        "--guard",
        is_flag=True,
        help="Check each backend against the reference on 10 s of the first track, and replace one that"
        " breaks its promise.",
    ),
    calibrate_option,
    click.option(
        "--timings-path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Append a line of JSON for each stage that has run.",
    ),
    click.option(
        "--timings-viz-path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Draw the stages of each track over time: PDF, PNG or SVG.",
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object a track on stdout."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option(
        "--verbose",
        is_flag=True,
        help="Say what happens, without a terminal too: a line every half minute.",
    ),
    family_options,
)


def analyze_options(function: Any) -> Any:
    """Give a command all of them, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
