"""JAMS, written with its own library, and validated first."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.errors import OutputError


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write the annotations ``beat``, ``beat_position``, ``segment_open`` and ``tempo``."""
    import jams

    (song,) = songs
    document = jams.JAMS()
    document.file_metadata.title = song.name
    document.file_metadata.duration = song.duration_s
    document.file_metadata.identifiers = {}
    for annotation in (_beats(song), _positions(song), _segments(song), _tempo(song)):
        if annotation is not None:
            document.annotations.append(annotation)
    document.sandbox.path = os.fspath(song.result.path).encode("utf-8", "replace").decode()
    try:
        with warnings.catch_warnings():
            # jams 0.3.5 uses a deprecated function of jsonschema.
            warnings.simplefilter("ignore", DeprecationWarning)
            document.validate()
    except jams.SchemaError as error:
        raise OutputError(f"{song.name} cannot be expressed as JAMS: {error}.") from error
    file.write(document.dumps(indent=2).encode())


def _annotation(song: Song, namespace: str) -> Any:
    import jams

    annotation = jams.Annotation(namespace, time=0, duration=song.duration_s)
    provenance = song.result.provenance
    metadata = annotation.annotation_metadata
    metadata.annotation_tools = f"allin1 {provenance.version}" if provenance else "allin1"
    metadata.data_source = "program"
    metadata.annotator.name = f"allin1, {provenance.model}" if provenance else "allin1"
    return annotation


def _beats(song: Song) -> Any:
    result, annotation = song.result, _annotation(song, "beat")
    sure: Sequence[float | None] = [None] * len(result.beats)
    if result.confidence is not None and len(result.confidence.beats) == len(result.beats):
        sure = result.confidence.beats
    rows = zip(result.beats, result.beat_positions, sure, strict=True)
    for time, place, confidence in rows:
        annotation.append(time=time, duration=0, value=place, confidence=confidence)
    return annotation


def _positions(song: Song) -> Any:
    result, annotation = song.result, _annotation(song, "beat_position")
    metre = max(result.beat_positions, default=0)
    bar = 0
    for time, place in zip(result.beats, result.beat_positions, strict=True):
        bar += place == 1
        value = {"position": place, "measure": bar, "num_beats": metre, "beat_units": 4}
        annotation.append(time=time, duration=0, value=value, confidence=None)
    return annotation


def _segments(song: Song) -> Any:
    annotation = _annotation(song, "segment_open")
    for one in song.result.segments:
        length = one.end - one.start
        annotation.append(time=one.start, duration=length, value=one.label, confidence=None)
    return annotation


def _tempo(song: Song) -> Any:
    if song.result.bpm is None:
        return None
    annotation = _annotation(song, "tempo")
    # The schema requires a confidence; there is only one tempo.
    annotation.append(
        time=0, duration=song.duration_s, value=float(song.result.bpm), confidence=1.0
    )
    return annotation
