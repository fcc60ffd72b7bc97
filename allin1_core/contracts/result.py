"""The result of an analysis, and its provenance."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allin1_core.contracts.metre import TempoAlternative
from allin1_core.contracts.sections import Segment
from allin1_core.urls import Url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Version of the keys of the JSON file. Files of the original package have none.
SCHEMA = 1

#: Increased whenever the same input, model and options lead to a different result.
RESULT_VERSION = 1


@dataclass(frozen=True)
class StageRecord:
    """How a stage was run.

    Attributes
    ----------
    stages
        The stage, or those that a spanning backend covered.
    backend, plugin, version
        The backend, its plugin, and the version of the plugin's distribution.
    device
        Name of the device.
    seconds
        Wall time of the call, including the wait for the device, but not the set-up.
    copies
        Moves of its input between array libraries and devices, in order: ``numpy/cpu to torch/cuda``.
    """

    stages: tuple[str, ...]
    backend: str
    plugin: str
    version: str
    device: str
    seconds: float
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Identity:
    """What determines whether a result is still up to date.

    Device, threads and backends are not part of it: backends keep their promises of parity.

    Attributes
    ----------
    audio
        Digest of the content of the song, or of its stems.
    model
        Name of the model.
    weights
        Digest of its parameters.
    parity
        Weakest promise that was accepted: ``identical``, ``close`` or ``lossy``, and its tolerance; None for any.
    options
        All options that affect the result, as plain values.
    version
        Version of the computation; see :data:`RESULT_VERSION`.
    """

    audio: str
    model: str
    weights: str
    parity: tuple[str, float | None]
    options: dict[str, Any]
    version: int


@dataclass(frozen=True)
class Provenance:
    """The provenance of a result.

    Attributes
    ----------
    version
        Version of allin1-core.
    model
        Name of the model.
    input
        Description of the input: ``kind`` (``stems``), the files with their format, sample rate and decoder.
    stages
        How each stage was run, in order.
    fallbacks
        One sentence for each backend that failed and was replaced.
    outputs
        Outputs that were computed: ``beats``, ``sections``. Others are empty in the result.
    model_version
        Version of the model's parameters; empty for a model without versions.
    postprocessors
        Plugins that changed the result after the last stage, in order.
    model_reason
        Why this model was chosen, and how to use the other; empty if it was named.
    identity
        What determines whether the result is up to date; None if the input was not a file.
    labels
        Labels of the model, in the order of the rows of the activation ``label``; empty for
        :data:`~allin1_core.contracts.logits.HARMONIX_LABELS`.
    not_given
        Arrays that were requested but not provided by the route: ``activations``, ``embeddings``.
    """

    version: str
    model: str
    input: dict[str, Any]
    stages: tuple[StageRecord, ...]
    fallbacks: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("beats", "sections")
    model_version: str = ""
    postprocessors: tuple[str, ...] = ()
    model_reason: str = ""
    identity: Identity | None = None
    labels: tuple[str, ...] = ()
    not_given: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentConfidence:
    """Confidence in a segment.

    Attributes
    ----------
    boundary
        Probability of a boundary at its start, 0 to 1; None for the first segment.
    labels
        Mean probability of each label over the segment.
    """

    boundary: float | None
    labels: dict[str, float]


@dataclass(frozen=True)
class Confidence:
    """Confidence in beats, metre and segments; see :class:`~allin1_core.contracts.metre.Metre` for the definitions.

    Attributes
    ----------
    beats
        0 to 1, one for each beat; empty if the decoder provides none.
    metre
        0 to 1; None if only one metre was tried.
    metre_log_probabilities
        By beats per bar; minus infinity if no path was possible.
    segments
        One for each segment; None if the backend provides none.
    """

    beats: list[float]
    metre: float | None
    metre_log_probabilities: dict[int, float]
    segments: list[SegmentConfidence] | None = None


@dataclass(frozen=True)
class Tempo:
    """The tempo as a line fitted to the beats, for programs that mix songs.

    Attributes
    ----------
    bpm
        Beats per minute, with decimals; an average over the whole song if the tempo is not steady.
    first_beat
        Time of the first beat according to the line, in seconds.
    residual
        Median distance of the beats from the line, in seconds.
    is_steady
        Whether nearly all beats are close to the line: 95 % within 35 ms.
    curve
        Time in seconds and tempo in beats per minute at each beat, if the tempo is not steady; otherwise None.
    """

    bpm: float
    first_beat: float
    residual: float
    is_steady: bool
    curve: list[tuple[float, float]] | None = None


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """The structure of one song.

    Names and types of the first six fields are those of allin1 1.1.0.

    Attributes
    ----------
    path
        The song, or the folder of its stems; a :class:`~allin1_core.urls.Url`, without passwords, if it was downloaded.
    bpm
        Beats per minute; None if there are fewer than two beats.
    beats, downbeats
        Times in seconds.
    beat_positions
        Position of each beat in its bar, from 1.
    segments
        In time order.
    activations
        ``beat``, ``downbeat``, ``segment``: float32 ``[T]``; ``label``: float32 ``[labels, T]``. None unless requested.
    embeddings
        float32 ``[4, T, 24]`` or ``[4, T, 24, members]``. None unless requested.
    confidence
        Confidence in the result; None if the backends provide none, and in files of the original package.
    alternatives
        Other tempi in which the song may be heard, the most probable first; empty if the metre decoder provides none.
    warnings
        Sentences about the result for the user.
    provenance
        Its provenance; None in files of the original package.
    tempo
        The tempo with decimals, as a line fitted to the beats; None if there are fewer than two beats, and in files of
        the original package.
    """

    path: Path | Url
    bpm: int | None
    beats: list[float]
    downbeats: list[float]
    beat_positions: list[int]
    segments: list[Segment]
    activations: dict[str, NDArray[np.float32]] | None = None
    embeddings: NDArray[np.float32] | None = None
    confidence: Confidence | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: Provenance | None = None
    alternatives: list[TempoAlternative] = field(default_factory=list)
    tempo: Tempo | None = None

    def _repr_html_(self) -> str:
        """Display the result in a notebook."""
        from allin1_core.contracts.notebook import html_of

        tempo = "no tempo" if self.bpm is None else f"{self.bpm} bpm"
        if self.tempo is not None:
            tempo = f"{self.tempo.bpm:.2f} bpm" + ("" if self.tempo.is_steady else ", not steady")
        counts = (
            f"{len(self.beats)} beats, {len(self.downbeats)} bars, {len(self.segments)} sections"
        )
        parts = [tempo, counts, *([] if self.provenance is None else [self.provenance.model])]
        return html_of(
            Path(self.path).name,
            " \N{MIDDLE DOT} ".join(parts),
            self.segments,
            self.beats,
            self.downbeats,
            self.warnings,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the result's JSON: plain numbers, strings, lists and dicts, without the arrays.

        ``pandas.DataFrame(result.to_dict()["segments"])`` is a table of the segments.
        """
        return {
            "path": os.fspath(self.path),
            "bpm": None if self.bpm is None else int(self.bpm),
            "beats": [float(time) for time in self.beats],
            "downbeats": [float(time) for time in self.downbeats],
            "beat_positions": [int(position) for position in self.beat_positions],
            "segments": [
                {"start": float(one.start), "end": float(one.end), "label": one.label}
                for one in self.segments
            ],
            "schema": SCHEMA,
            "tempo": _plain(self.tempo),
            "confidence": None if self.confidence is None else _of_confidence(self.confidence),
            "alternatives": _plain(self.alternatives),
            "warnings": list(self.warnings),
            "provenance": _plain(self.provenance),
        }


def _plain(value: Any) -> Any:
    """Convert records and tuples to dicts and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _of_confidence(confidence: Confidence) -> dict[str, Any]:
    # JSON has no infinity: None represents a metre without a possible path.
    return {
        "beats": [float(value) for value in confidence.beats],
        "metre": None if confidence.metre is None else float(confidence.metre),
        "metre_log_probabilities": {
            str(beats): float(value) if math.isfinite(value) else None
            for beats, value in confidence.metre_log_probabilities.items()
        },
        "segments": _plain(confidence.segments),
    }
