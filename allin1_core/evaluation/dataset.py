"""Scores of many songs: means, extremes, and tables of them."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from allin1_core.contracts.result import AnalysisResult
from allin1_core.evaluation.reference import Reference
from allin1_core.evaluation.scoring import MEASURES, Scores, score


@dataclass(frozen=True)
class SongScores:
    """Agreement of the result of one song with a reference, or with another result.

    Attributes
    ----------
    name
        Name of the song.
    scores
        Scores by measure.
    annotated
        Parts that the reference contains: ``beats``, ``downbeats``, ``segments``.
    """

    name: str
    scores: Scores
    annotated: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A song that could not be scored.

    Attributes
    ----------
    name
        Name of the song.
    reasons
        What is wrong with each of its files that cannot be used.
    """

    name: str
    reasons: tuple[str, ...]


def evaluate(name: str, result: AnalysisResult, reference: Reference) -> SongScores:
    """Score a result, except for outputs that were not requested.

    Parameters
    ----------
    name
        Name of the song.
    result
        The result.
    reference
        Annotations of the song.

    Raises
    ------
    PluginError
        mir_eval is not installed.
    InputError
        mir_eval refuses the times of the result or of the annotations.
    """
    beats = _was_requested(result, "beats")
    scores = score(
        reference,
        result.beats if beats else None,
        result.downbeats if beats else None,
        result.segments if _was_requested(result, "sections") else None,
    )
    parts = ("beats", "downbeats", "segments")
    return SongScores(
        name, scores, tuple(part for part in parts if getattr(reference, part) is not None)
    )


def compare(name: str, first: AnalysisResult, second: AnalysisResult) -> SongScores:
    """Score how well two results of a song agree; the first is the reference.

    Beats are compared if at least one result has any, sections if both have some. Errors are those of :func:`evaluate`.
    """
    beats = all(_was_requested(one, "beats") for one in (first, second))
    beats = beats and bool(first.beats or second.beats)
    return evaluate(name, second, reference_of(first, beats=beats))


def reference_of(result: AnalysisResult, *, beats: bool = True) -> Reference:
    """Convert a result to a reference, with or without its beats and downbeats."""
    import numpy as np

    return Reference(
        np.array(result.beats, np.float64) if beats else None,
        np.array(result.downbeats, np.float64) if beats else None,
        tuple(result.segments) or None,
    )


def _was_requested(result: AnalysisResult, output: str) -> bool:
    return result.provenance is None or output in result.provenance.outputs


def measures_of(songs: Sequence[SongScores]) -> list[str]:
    """List the measures that at least one song has, in the order of tables."""
    return [name for name in MEASURES if any(name in song.scores for song in songs)]


def means(songs: Sequence[SongScores]) -> Scores:
    """Average each measure over the songs that have it."""
    return {
        name: statistics.fmean(song.scores[name] for song in songs if name in song.scores)
        for name in measures_of(songs)
    }


def lowest(songs: Sequence[SongScores]) -> dict[str, SongScores]:
    """Find the song with the lowest score of each measure."""
    return {
        name: min((s for s in songs if name in s.scores), key=lambda s: s.scores[name])
        for name in measures_of(songs)
    }


def annotated(songs: Sequence[SongScores]) -> dict[str, int]:
    """Count the songs whose reference has beats, downbeats and segments."""
    return {
        part: sum(part in song.annotated for song in songs)
        for part in ("beats", "downbeats", "segments")
    }


def table(songs: Sequence[SongScores]) -> str:
    """Return the scores as text: a line for each song, then their means."""
    measures = measures_of(songs)
    rows = [["song", *(MEASURES[name] for name in measures)]]
    rows += [[song.name, *_cells(song.scores, measures)] for song in songs]
    if len(songs) > 1:
        rows.append([f"mean of {len(songs)}", *_cells(means(songs), measures)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def _cells(scores: Scores, measures: Sequence[str]) -> list[str]:
    return [f"{scores[name]:.3f}" if name in scores else "" for name in measures]


def to_csv(songs: Sequence[SongScores], left_out: Sequence[LeftOut] = ()) -> str:
    """Return the scores as CSV: a row for each song, at full precision; missing scores are empty.

    The last column, ``error``, states why a song was left out; these songs come last.
    """
    measures = measures_of(songs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["song", *measures, "error"])
    writer.writerows([s.name, *(s.scores.get(m, "") for m in measures), ""] for s in songs)
    writer.writerows([s.name, *("" for _ in measures), " ".join(s.reasons)] for s in left_out)
    return text.getvalue()


def to_json(songs: Sequence[SongScores], left_out: Sequence[LeftOut] = ()) -> dict[str, Any]:
    """Return the scores as plain values: those of each song, the ``mean`` of each measure, and the songs left out."""
    return {
        "songs": [{"song": s.name, "scores": s.scores} for s in songs],
        "mean": means(songs),
        "left_out": [{"song": s.name, "reasons": list(s.reasons)} for s in left_out],
    }
