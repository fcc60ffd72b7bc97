"""Times of stages as a picture: a band for each track with a lane for each stage, coloured by device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from allin1_core.contracts.stages import STAGES
from allin1_core.io.side_files import check_file
from allin1_core.presentation.figures import check_picture, is_picture, save_figure
from allin1_core.runtime.timings import Timing

#: Colours that are distinguishable with colour blindness (Okabe and Ito); the CPU has the first.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999")

#: Maximum number of tracks for which bars are labelled, and time starts with the first track.
LABELLED = 12

#: Maximum number of track names next to the axis.
_NAMES = 60

_LANE_INCHES = 0.18
_MOST_INCHES = 40.0


#: Name of these pictures.
KIND = "picture of timings"


def check_timings_picture(path: Path, *, overwrite: bool) -> None:
    """Check that a picture can be drawn to `path`; with `overwrite`, it may replace an earlier one.

    Raises
    ------
    SettingsError
        It has a suffix of audio.
    OutputError
        The suffix is not supported, Matplotlib is missing, or the file exists and must not be replaced.
    """
    check_file(path, KIND, partial(is_picture, kind=KIND), overwrite=overwrite)
    check_picture(path, KIND)


def draw_timings(path: Path, timings: Sequence[Timing]) -> None:
    """Draw `timings` to the file at `path`, whose suffix selects the format.

    Time runs from left to right, from the start of the first track. With more tracks than :data:`LABELLED`, it runs
    from the start of each track, so that they can be compared. Tracks are ordered from top to bottom by their start.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    # Without pyplot, no figure stays open, and no window system is needed.
    from matplotlib.figure import Figure

    timings = sorted(timings, key=lambda timing: timing.start)
    tracks = list(dict.fromkeys(timing.track for timing in timings))
    band = {name: number for number, name in enumerate(tracks)}
    stages = sorted({timing.stage for timing in timings}, key=_order)
    devices = sorted({timing.device for timing in timings}, key=lambda d: (d != "cpu", d))
    is_many = len(tracks) > LABELLED
    zero = dict.fromkeys(tracks, timings[0].start)
    if is_many:
        zero = {timing.track: timing.start for timing in reversed(timings)}

    height = _LANE_INCHES * (len(stages) + 1) * len(tracks)
    figure = Figure(figsize=(10, 1.2 + min(height, _MOST_INCHES)), layout="constrained")
    axes = figure.add_subplot()
    lane = 1 / (len(stages) + 1)
    for number, device in enumerate(devices):
        here = [timing for timing in timings if timing.device == device]
        places = [band[t.track] + (stages.index(t.stage) + 1) * lane for t in here]
        axes.barh(
            places,
            [timing.duration for timing in here],
            left=[timing.start - zero[timing.track] for timing in here],
            height=lane,
            color=_COLOURS[number % len(_COLOURS)],
            label=device,
        )
        if not is_many:
            for place, timing in zip(places, here, strict=True):
                text = f" {timing.stage} {timing.duration:.3g} s"
                end = timing.end - zero[timing.track]
                axes.text(end, place, text, va="center", fontsize=7)
    every = -(-len(tracks) // _NAMES)
    names = tracks[::every]
    # Names may contain $ and _, which must not be parsed as formulas.
    axes.set_yticks([every * n + 0.5 for n in range(len(names))], names, parse_math=False)
    axes.set_ylim(len(tracks), 0)
    # Room for the labels of the last bars.
    axes.set_xlim(0, 1.2 * max(timing.end - zero[timing.track] for timing in timings) or 1.0)
    axes.set_xlabel("seconds from each track's start" if is_many else "seconds")
    axes.set_title(", ".join(dict.fromkeys(timing.model for timing in timings)), parse_math=False)
    axes.legend(title="device", loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, path, KIND, dpi=100)


def _order(stage: str) -> tuple[int, str]:
    """Position of a stage, or of the first of several, in a run."""
    first = stage.partition("+")[0]
    return next((n for n, name in enumerate(STAGES) if name == first), len(STAGES)), stage
