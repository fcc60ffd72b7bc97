"""Example results for tests of exporters, post-processors and observers."""

from __future__ import annotations

from pathlib import Path

from allin1_core.contracts.export import Song
from allin1_core.contracts.result import AnalysisResult, StageRecord
from allin1_core.contracts.sections import Segment

#: An example record of a stage, for observers.
EXAMPLE_RECORD = StageRecord(("nn",), "reference", "reference", "0", "cpu", 0.5)


def example_result(*, beats: bool = True, sections: bool = True) -> AnalysisResult:
    """Half a minute at 120 bpm, in 4/4, with four sections; optionally without beats or sections.

    >>> result = example_result()
    >>> result.bpm, len(result.beats), [segment.label for segment in result.segments]
    (120, 60, ['start', 'intro', 'verse', 'end'])
    """
    times = [round(0.5 + 0.5 * n, 3) for n in range(60)] if beats else []
    positions = [1 + n % 4 for n in range(len(times))]
    borders = (0.0, 0.5, 8.5, 28.5, 31.0)
    labels = ("start", "intro", "verse", "end")
    segments = [
        Segment(start, end, label)
        for start, end, label in zip(borders, borders[1:], labels, strict=False)
    ]
    return AnalysisResult(
        path=Path("example.wav"),
        bpm=120 if beats else None,
        beats=times,
        downbeats=times[::4],
        beat_positions=positions,
        segments=segments if sections else [],
    )


def write_example(folder: Path, name: str, *, beats: bool = True, sections: bool = True) -> Path:
    """Write the example as 'allin1 analyze' would, and return the path of the JSON file."""
    from allin1_core.io.results import save_result

    return save_result(example_result(beats=beats, sections=sections), folder, name)


def example_song(name: str = "example", *, beats: bool = True, sections: bool = True) -> Song:
    """The example in the form that exporters receive."""
    result = example_result(beats=beats, sections=sections)
    return Song(result, name, Path(f"/music/{name}.wav"), 31.0)
