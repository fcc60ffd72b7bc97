"""Scores of many songs as a picture: a dot for each song, a line at each mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from allin1_core.presentation.figures import check_picture, is_picture, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "picture of scores"


def draw_scores(scores: Mapping[str, Sequence[float]]) -> Figure:
    """Draw scores, each measure in a column.

    Parameters
    ----------
    scores
        Values from 0 to 1 of the songs that have them, by the title of the measure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; it does not belong to a window, and need not be closed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.0, 1.5 + 1.15 * len(scores)), 4.2), layout="constrained")
    axis = figure.subplots()
    # Dots get a reproducible horizontal offset, so that equal scores do not hide each other.
    rng = np.random.default_rng(0)
    for column, values in enumerate(scores.values()):
        spread = column + rng.uniform(-0.25, 0.25, len(values)) * (len(values) > 1)
        axis.scatter(spread, values, s=14, color="#4477AA", alpha=0.6, linewidths=0)
        mean = float(np.mean(values))
        axis.hlines(mean, column - 0.38, column + 0.38, color="#EE6677", lw=2)
        axis.text(column, 1.04, f"{mean:.3f}", ha="center", fontsize=9)
        axis.text(column, -0.09, f"n = {len(values)}", ha="center", fontsize=7)
    axis.set_xlim(-0.5, max(len(scores), 1) - 0.5)
    axis.set_ylim(-0.12, 1.1)
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.set_xticks(range(len(scores)))
    axis.set_xticklabels([title.replace(", ", "\n") for title in scores], fontsize=8)
    axis.grid(axis="y", lw=0.4, alpha=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure


def write_scores(scores: Mapping[str, Sequence[float]], path: str | PathLike[str]) -> None:
    """Draw scores into a file, which is written atomically.

    Parameters
    ----------
    scores
        As for :func:`draw_scores`.
    path
        The file; its suffix determines the format: PDF, PNG or SVG.

    Raises
    ------
    OutputError
        Matplotlib is missing, the suffix is not supported, or the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    save_figure(draw_scores(scores), path, _KIND)


def is_scores(file: BinaryIO) -> bool:
    """Whether :func:`write_scores` has written a picture."""
    return is_picture(file, _KIND)
