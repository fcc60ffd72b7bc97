"""A result as a picture: waveform, beats, sections, activations, and the tempo if it changes."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.colours import colours_of
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.errors import AudioError
from allin1_core.presentation.figures import check_picture, save_figure
from allin1_core.presentation.source import mix_blocks, peaks_of, stem_peak_blocks, stems_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Length of a row in seconds, and the maximum number of rows; longer songs have longer rows.
_ROW_S, _MOST_ROWS = 300.0, 12

#: Number of peaks in a row; more would not be visible.
_COLUMNS = 2400

#: Maximum number of beats per row that are drawn; the same limit applies to downbeats.
_BEATS_A_ROW = 400

#: Space above the waveform for labels and beats, as a fraction of its height.
_HEAD = 0.25

#: Relative change of tempo above which a curve is drawn.
_STEADY = 0.04


def draw_result(result: AnalysisResult, name: str | None = None) -> Figure:
    """Draw a result.

    Parameters
    ----------
    result
        The result. Its audio is read from its original path; if it does not exist, the picture has no waveform.
    name
        Title; None for the name of the file.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it does not belong to a window, and need not be closed.
    """
    from matplotlib.figure import Figure

    peaks = _peaks(result)
    length = _length_s(result, peaks)
    rows = min(_MOST_ROWS, max(1, math.ceil(length / _ROW_S - 1e-9)))
    row_s = length / rows
    tempo = _tempo_curve(result)
    lanes = [("wave", 3.0)]
    if result.activations is not None:
        lanes.append(("activations", 1.6))
    if tempo is not None:
        lanes.append(("tempo", 1.0))
    heights = [height for _, height in lanes] * rows
    figure = Figure(figsize=(14, 1.1 + 0.55 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    colours = colours_of(one.label for one in result.segments)
    for row in range(rows):
        span = row * row_s, (row + 1) * row_s
        for lane, (kind, _) in enumerate(lanes):
            axis = axes[row * len(lanes) + lane]
            axis.set_xlim(*span)
            if kind == "wave":
                _draw_wave(axis, result, peaks, span, colours)
            elif kind == "activations":
                _draw_activations(axis, result, span)
            elif tempo is not None:
                _draw_tempo(axis, tempo, span)
            _finish_axis(axis, span, is_last=lane == len(lanes) - 1)
    bpm = "no tempo" if result.bpm is None else f"{result.bpm} bpm"
    title = (name or Path(result.path).stem).encode("utf-8", "replace").decode()
    # A dollar sign would start a formula.
    figure.suptitle(f"{title.replace('$', chr(92) + '$')}   ({bpm})")
    return figure


def write_picture(
    result: AnalysisResult, path: str | PathLike[str], *, name: str | None = None
) -> None:
    """Draw a result into a file, which is written atomically.

    Parameters
    ----------
    result, name
        As for :func:`draw_result`.
    path
        The file; its suffix determines the format: PDF, PNG or SVG.

    Raises
    ------
    OutputError
        Matplotlib is missing, the suffix is not supported, or the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    save_figure(draw_result(result, name), path)


def _length_s(result: AnalysisResult, peaks: NDArray[np.float32] | None) -> float:
    ends = [*result.beats[-1:], *(one.end for one in result.segments[-1:])]
    if peaks is not None:
        ends.append(peaks.shape[1] / FRAMES_PER_SECOND)
    return max([*ends, 1.0])


def _peaks(result: AnalysisResult) -> NDArray[np.float32] | None:
    """Peaks ``[4, T]`` of the stems, or ``[1, T]`` of the song; None if the audio does not exist any more."""
    try:
        stems = stems_of(result)
        if stems is not None:
            return peaks_of(stem_peak_blocks(stems), FRAMES_PER_SECOND)
        peaks = peaks_of(mix_blocks(result), FRAMES_PER_SECOND)
        return np.asarray(peaks.max(axis=0, keepdims=True))
    except AudioError:
        return None


def _draw_wave(
    axis: Axes,
    result: AnalysisResult,
    peaks: NDArray[np.float32] | None,
    span: tuple[float, float],
    colours: dict[str, str],
) -> None:
    count = 1 if peaks is None else len(peaks)
    axis.set_ylim(count, -_HEAD * count)  # room for labels above, lanes from top to bottom
    for one in result.segments:
        if one.end <= span[0] or one.start >= span[1]:
            continue
        axis.axvspan(one.start, one.end, color=colours[one.label], alpha=0.7, lw=0, zorder=0)
        if one.start > span[0]:
            axis.axvline(one.start, color="black", lw=1.2, zorder=3)
        left = max(one.start, span[0])
        axis.text(
            left + 0.004 * (span[1] - span[0]),
            -(_HEAD - 0.07) * count,
            one.label.replace("$", r"\$"),
            fontsize=8,
            va="top",
            clip_on=True,
            zorder=4,
        )
    if peaks is not None:
        _draw_peaks(axis, peaks, span)
    _draw_beats(axis, result, span, count)
    axis.set_yticks([i + 0.5 for i in range(4)] if count == 4 else [])
    if count == 4:
        axis.set_yticklabels(STEMS, fontsize=7)


def _draw_peaks(axis: Axes, peaks: NDArray[np.float32], span: tuple[float, float]) -> None:
    first, stop = (int(t * FRAMES_PER_SECOND) for t in span)
    part = peaks[:, first : stop + 1]
    width = max(1, part.shape[1] // _COLUMNS)
    whole = part.shape[1] // width
    if whole == 0:
        return
    columns = part[:, : whole * width].reshape(len(part), whole, width).max(axis=2)
    times = (first + width * (np.arange(whole) + 0.5)) / FRAMES_PER_SECOND
    loudest = max(float(peaks.max()), 1e-9)
    for lane, row in enumerate(columns):
        height = 0.46 * row / loudest
        middle = lane + 0.5
        axis.fill_between(times, middle - height, middle + height, color="#222255", lw=0, zorder=1)


def _draw_beats(axis: Axes, result: AnalysisResult, span: tuple[float, float], count: int) -> None:
    beats, downbeats = (
        np.array([t for t in times if span[0] <= t < span[1]])
        for times in (result.beats, result.downbeats)
    )
    top = -_HEAD * count
    if len(beats) <= _BEATS_A_ROW:
        axis.vlines(beats, top, top + 0.06 * count, color="black", lw=0.5, zorder=3)
    if len(downbeats) <= _BEATS_A_ROW:
        axis.vlines(downbeats, 0, count, color="black", lw=0.5, alpha=0.35, zorder=2)


def _draw_activations(axis: Axes, result: AnalysisResult, span: tuple[float, float]) -> None:
    first, stop = (int(t * FRAMES_PER_SECOND) for t in span)
    styles = {"beat": ("#4477AA", 0.5), "downbeat": ("#EE6677", 0.7), "segment": ("black", 1.0)}
    activations = result.activations or {}
    for name, (colour, width) in styles.items():
        values = np.asarray(activations[name][first : stop + 1])
        step = max(1, len(values) // _COLUMNS)
        whole = len(values) // step
        if whole:
            # The maximum of a column, so that no peak is lost.
            heights = values[: whole * step].reshape(whole, step).max(axis=1)
            times = (first + step * np.arange(whole)) / FRAMES_PER_SECOND
            axis.plot(times, heights, color=colour, lw=width, label=name)
    axis.set_ylim(0, 1.02)
    axis.set_yticks([0, 1])
    if span[0] == 0:
        axis.legend(loc="upper right", ncols=3, fontsize=7, frameon=False)


def _tempo_curve(result: AnalysisResult) -> NDArray[np.float64] | None:
    """Times and tempi ``[2, n]``, each over eight beats; None if the tempo is steady."""
    beats = np.asarray(result.beats, float)
    reach = 8
    if len(beats) <= 2 * reach:
        return None
    tempi = 60 * reach / (beats[reach:] - beats[:-reach])
    low, high = np.quantile(tempi, [0.02, 0.98])
    if high - low < _STEADY * float(np.median(tempi)):
        return None
    return np.stack([(beats[reach:] + beats[:-reach]) / 2, tempi])


def _draw_tempo(axis: Axes, tempo: NDArray[np.float64], span: tuple[float, float]) -> None:
    axis.plot(*tempo, color="#AA3377", lw=1)
    margin = 0.1 * float(np.ptp(tempo[1]))
    axis.set_ylim(tempo[1].min() - margin, tempo[1].max() + margin)
    axis.set_ylabel("bpm", fontsize=7)
    axis.tick_params(axis="y", labelsize=7)


def _finish_axis(axis: Axes, span: tuple[float, float], *, is_last: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
    step = next((s for s in steps if (span[1] - span[0]) / s <= 16), 1200)
    axis.xaxis.set_major_locator(MultipleLocator(step))
    axis.xaxis.set_major_formatter(FuncFormatter(_clock))
    axis.tick_params(axis="x", labelsize=8, labelbottom=is_last)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _clock(seconds: Any, _: Any) -> str:
    """Format as minutes and seconds, rounded once, so that ``0:60`` cannot occur."""
    whole = round(float(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
