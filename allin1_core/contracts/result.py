"""What an analysis gives: the result and where it came from."""

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

#: Version of the JSON's own keys. Files without one are the original package's.
SCHEMA = 1

#: Raised whenever the same input, model and options would give another result.
RESULT_VERSION = 1


@dataclass(frozen=True)
class StageRecord:
    """How a stage was run.

    Attributes
    ----------
    stages
        The stage, or those that a spanning backend covered.
    backend, plugin, version
        Who ran it: the backend, its plugin, and the version of the plugin's distribution.
    device
        Name of the device.
    seconds
        Wall time of the call, waiting for the device included; set-up is not.
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
    """What decides whether a result is still the one that would be found.

    Device, threads and backends do not belong to it: they keep their promises of parity.

    Attributes
    ----------
    audio
        Digest of the bytes of the song, or of those of its stems.
    model
        Name of the model.
    weights
        Digest of its parameters.
    parity
        Weakest promise that was accepted: ``identical``, ``close`` or ``lossy``, and its tolerance, None for any.
    options
        Every option that changes what is found, as plain values.
    version
        Of the way in which results are found; see :data:`RESULT_VERSION`.
    """

    audio: str
    model: str
    weights: str
    parity: tuple[str, float | None]
    options: dict[str, Any]
    version: int


@dataclass(frozen=True)
class Provenance:
    """Where a result came from.

    Attributes
    ----------
    version
        Of allin1-core.
    model
        Name of the model.
    input
        What went in: ``kind`` (``stems``), the files with their format, sample rate and decoder.
    stages
        How each stage was run, in order.
    fallbacks
        One sentence for each backend that failed and was replaced.
    outputs
        What was looked for: ``beats``, ``sections``. What is not among them is empty in the result.
    model_version
        Version of the model's parameters; empty for a model without versions.
    postprocessors
        Plugins that changed the result after the last stage, in order.
    model_reason
        Why this model was chosen, and how to get the other; empty where it was named.
    identity
        What decides whether the result is up to date; None where the input was no file.
    labels
        Labels that the model tells apart, in the order of the rows of the activation ``label``; empty for
        :data:`~allin1_core.contracts.logits.HARMONIX_LABELS`.
    not_given
        Arrays that were asked for and that the route does not give: ``activations``, ``embeddings``.
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
    """How sure a segment is.

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
    """How sure the metre decoder is; see :class:`~allin1_core.contracts.metre.Metre` for the definitions.

    Attributes
    ----------
    beats
        0 to 1, one for each beat; empty where the decoder gives none.
    metre
        0 to 1; None where only one metre was tried.
    metre_log_probabilities
        By beats per bar; minus infinity where no path was possible.
    segments
        One for each segment; None where the backend gives none.
    """

    beats: list[float]
    metre: float | None
    metre_log_probabilities: dict[int, float]
    segments: list[SegmentConfidence] | None = None


@dataclass(frozen=True)
class Tempo:
    """The tempo as a line through the beats, for programs that mix.

    Attributes
    ----------
    bpm
        Beats per minute, with decimals; over the whole song where it is not steady.
    first_beat
        Where the line puts the first beat, in seconds.
    residual
        Median distance of the beats from the line, in seconds.
    is_steady
        Whether nearly all beats lie close to the line: 95 % within 35 ms.
    curve
        Time in seconds and tempo at each beat, where the tempo is not steady; else None.
    """

    bpm: float
    first_beat: float
    residual: float
    is_steady: bool
    curve: list[tuple[float, float]] | None = None


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """The structure of one song.

    Field names and types of the first six are those of allin1 1.1.0.

    Attributes
    ----------
    path
        The song, or the folder of its stems; a :class:`~allin1_core.urls.Url`, without passwords, where it was fetched.
    bpm
        Beats per minute, or None where there are fewer than two beats.
    beats, downbeats
        Seconds.
    beat_positions
        Place of each beat in its bar, from 1.
    segments
        In time order.
    activations
        ``beat``, ``downbeat``, ``segment``: float32 ``[T]``; ``label``: float32 ``[10, T]``. None unless asked for.
    embeddings
        float32 ``[4, T, 24]`` or ``[4, T, 24, members]``. None unless asked for.
    confidence
        How sure the metre decoder is; None where it does not say, and in files of the original package.
    alternatives
        Other tempi that the song may be heard in, the most probable first; empty where the metre decoder gives none.
    warnings
        What a person should know of this result, one sentence each.
    provenance
        Where it came from; None in files of the original package.
    tempo
        The tempo with decimals, as a line through the beats; None where there are fewer than two, and in files of the
        original package.
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
        """Show the result in a notebook."""
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
        """Give what the JSON of the result holds: plain numbers, strings, lists and dicts, without the arrays.

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
    """Dicts and lists in place of records and tuples."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _of_confidence(confidence: Confidence) -> dict[str, Any]:
    # JSON knows no infinity: None stands for a metre of which no path was possible.
    return {
        "beats": [float(value) for value in confidence.beats],
        "metre": None if confidence.metre is None else float(confidence.metre),
        "metre_log_probabilities": {
            str(beats): float(value) if math.isfinite(value) else None
            for beats, value in confidence.metre_log_probabilities.items()
        },
        "segments": _plain(confidence.segments),
    }
