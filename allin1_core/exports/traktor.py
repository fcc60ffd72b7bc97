"""Traktor NML: a collection with beat grids and cue points, to be imported by the user."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import PurePath, PureWindowsPath
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.exports.grid import TOLERANCE_S, anchors_of
from allin1_core.exports.rekordbox import xml_text

_HOT_CUES = 8
_CUE, _GRID = "0", "4"


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a collection of `songs`: a grid marker for each tempo, and a cue point for each segment.

    Times are milliseconds. Versions of Traktor before 4 use the tempo of the first marker for the whole song.
    """
    root = ET.Element("NML", {"VERSION": "19"})
    ET.SubElement(root, "HEAD", {"COMPANY": "www.native-instruments.com", "PROGRAM": "Traktor"})
    collection = ET.SubElement(root, "COLLECTION", {"ENTRIES": str(len(songs))})
    for song in songs:
        _add_entry(collection, song)
    ET.indent(root)
    declaration = b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    file.write(declaration + ET.tostring(root, "utf-8") + b"\n")


def _add_entry(collection: ET.Element, song: Song) -> None:
    entry = ET.SubElement(collection, "ENTRY", {"TITLE": xml_text(song.name), "ARTIST": ""})
    ET.SubElement(entry, "LOCATION", _location(song.source))
    ET.SubElement(entry, "INFO", {"PLAYTIME": str(round(song.duration_s))})
    anchors = anchors_of(song, tolerance_s=TOLERANCE_S, decimals=6)
    if anchors:
        tempo = {"BPM": f"{anchors[0].bpm:.6f}", "BPM_QUALITY": "100.000000"}
        ET.SubElement(entry, "TEMPO", tempo)
    for anchor in anchors:
        cue = _cue(entry, "AutoGrid", _GRID, anchor.time_s, hot_cue=-1)
        ET.SubElement(cue, "GRID", {"BPM": f"{anchor.bpm:.6f}"})
    for i, one in enumerate(song.result.segments):
        _cue(entry, one.label, _CUE, one.start, hot_cue=i if i < _HOT_CUES else -1)


def _cue(entry: ET.Element, name: str, kind: str, time_s: float, *, hot_cue: int) -> ET.Element:
    attributes = {
        "NAME": xml_text(name),
        "DISPL_ORDER": "0",
        "TYPE": kind,
        "START": f"{max(0.0, 1000 * time_s):.6f}",
        "LEN": "0.000000",
        "REPEATS": "-1",
        "HOTCUE": str(hot_cue),
    }
    return ET.SubElement(entry, "CUE_V2", attributes)


def _location(path: PurePath) -> dict[str, str]:
    """Folder, file and volume, with Traktor's separator ``/:``."""
    *folders, name = path.parts[1:] or ("",)
    drive = path.drive if isinstance(path, PureWindowsPath) else ""
    return {
        "DIR": xml_text("".join(f"/:{folder}" for folder in folders) + "/:"),
        "FILE": xml_text(name),
        "VOLUME": drive,
        "VOLUMEID": "",
    }
