"""Layers for Sonic Visualiser, in the XML of its library svcore."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.exports.text import beats_of, one_line

_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>\n'


def write_beats(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a layer of time instants, each labelled with its position in the bar."""
    (song,) = songs
    points = [{"frame": _frame(song, time), "label": str(place)} for time, place in beats_of(song)]
    _write(file, song, "Beats", {"dimensions": "1"}, points, {"type": "timeinstants"})


def write_segments(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a layer of regions; segments with the same label have the same value, and so the same colour."""
    (song,) = songs
    segments = song.result.segments
    values = {label: i for i, label in enumerate(dict.fromkeys(one.label for one in segments))}
    points = []
    for one in segments:
        start, end = int(_frame(song, one.start)), int(_frame(song, one.end))
        points.append(
            {
                "frame": str(start),
                "value": str(values[one.label]),
                "duration": str(end - start),
                "label": one_line(one.label),
            }
        )
    model = {
        "dimensions": "3",
        "subtype": "region",
        "valueQuantization": "0",
        "minimum": "0",
        "maximum": str(max(values.values(), default=0)),
        "units": "",
    }
    _write(file, song, "Sections", model, points, {"type": "regions"})


def _frame(song: Song, time: float) -> str:
    # Frames of the audio file: Sonic Visualiser requires a layer to have its sample rate.
    return str(round(time * song.sample_rate))


def _write(
    file: BinaryIO,
    song: Song,
    name: str,
    model: dict[str, str],
    points: Sequence[dict[str, str]],
    layer: dict[str, str],
) -> None:
    root = ET.Element("sv")
    data = ET.SubElement(root, "data")
    frames = [int(point["frame"]) for point in points] or [0]
    common = {
        "id": "1",
        "name": name,
        "sampleRate": str(song.sample_rate),
        "start": str(min(frames)),
        "end": str(max(frames)),
        "type": "sparse",
        "resolution": "1",
        "notifyOnAdd": "true",
        "dataset": "2",
    }
    ET.SubElement(data, "model", common | model)
    dataset = ET.SubElement(data, "dataset", {"id": "2", "dimensions": model["dimensions"]})
    for point in points:
        ET.SubElement(dataset, "point", point)
    display = ET.SubElement(root, "display")
    ET.SubElement(
        display, "layer", {"id": "3", "name": name, "model": "1", "plotStyle": "0"} | layer
    )
    ET.indent(root)
    file.write(_HEAD + ET.tostring(root, "utf-8") + b"\n")
