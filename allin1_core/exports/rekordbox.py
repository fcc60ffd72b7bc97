"""Rekordbox XML: a collection with beat grids and cue points, to be imported by the user."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import PurePath
from typing import BinaryIO
from urllib.parse import quote

from allin1_core.contracts.export import Song
from allin1_core.exports.grid import TOLERANCE_S, anchors_of, metre_at
from allin1_core.exports.text import one_line

_HOT_CUES = 8


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a collection of `songs` and a playlist of them.

    Beat grids are ``TEMPO`` entries, as many as are needed to keep each beat within 12 ms. All segments are memory cues,
    and the first eight are also hot cues.
    """
    root = ET.Element("DJ_PLAYLISTS", {"Version": "1.0.0"})
    ET.SubElement(root, "PRODUCT", {"Name": "allin1", "Version": "1", "Company": ""})
    collection = ET.SubElement(root, "COLLECTION", {"Entries": str(len(songs))})
    for number, song in enumerate(songs, 1):
        _add_track(collection, number, song)
    folder = ET.SubElement(
        ET.SubElement(root, "PLAYLISTS"), "NODE", {"Type": "0", "Name": "ROOT", "Count": "1"}
    )
    playlist = ET.SubElement(
        folder,
        "NODE",
        {"Name": "allin1", "Type": "1", "KeyType": "0", "Entries": str(len(songs))},
    )
    for number in range(1, len(songs) + 1):
        ET.SubElement(playlist, "TRACK", {"Key": str(number)})
    ET.indent(root)
    file.write(ET.tostring(root, "utf-8", xml_declaration=True) + b"\n")


def _add_track(collection: ET.Element, number: int, song: Song) -> None:
    anchors = anchors_of(song, tolerance_s=TOLERANCE_S, decimals=2)
    attributes = {
        "TrackID": str(number),
        "Name": xml_text(song.name),
        "TotalTime": str(round(song.duration_s)),
        "Location": location_of(song.source),
    }
    if anchors:
        attributes["AverageBpm"] = f"{_average(song):.2f}"
    track = ET.SubElement(collection, "TRACK", attributes)
    for anchor in anchors:
        tempo = {
            "Inizio": f"{max(0.0, anchor.time_s):.3f}",
            "Bpm": f"{anchor.bpm:.2f}",
            "Metro": f"{metre_at(song, anchor.beat)}/4",
            "Battito": str(anchor.position),
        }
        ET.SubElement(track, "TEMPO", tempo)
    for i, one in enumerate(song.result.segments):
        mark = {"Name": xml_text(one.label), "Type": "0", "Start": f"{max(0.0, one.start):.3f}"}
        ET.SubElement(track, "POSITION_MARK", mark | {"Num": "-1"})
        if i < _HOT_CUES:
            ET.SubElement(track, "POSITION_MARK", mark | {"Num": str(i)})


def _average(song: Song) -> float:
    beats = song.result.beats
    return 60 * (len(beats) - 1) / (beats[-1] - beats[0])


def location_of(path: PurePath) -> str:
    """Return a path as Rekordbox writes it: one slash after ``localhost``, the rest as percent-encoded UTF-8."""
    raw = path.as_posix().encode("utf-8", "surrogateescape")
    return "file://localhost/" + quote(raw.lstrip(b"/"), safe="/:")


def xml_text(text: str) -> str:
    """Return `text` on one line, without characters that XML does not allow."""
    return "".join(c if c.isprintable() else "�" for c in one_line(text))
