"""Podlove Simple Chapters 1.2: an XML element with the start and title of each chapter."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.errors import OutputError
from allin1_core.text import shown

NAMESPACE = "http://podlove.org/simple-chapters"


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a chapter for each section.

    Parameters
    ----------
    songs
        Exactly one song, as the exporter does not declare ``collects``.
    file
        File to write to; the core opens, closes and renames it.

    Raises
    ------
    OutputError
        The song has no sections.
    """
    (song,) = songs
    if not song.result.segments:
        raise OutputError(
            f"{song.name} has no sections to write as chapters.",
            remedy="Analyse it with a model that finds sections.",
        )
    ET.register_namespace("psc", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}chapters", version="1.2")
    for one in song.result.segments:
        # XML does not allow control characters, not even escaped; labels are untrusted input.
        chapter = {"start": _clock(one.start), "title": shown(one.label)}
        ET.SubElement(root, f"{{{NAMESPACE}}}chapter", chapter)
    ET.indent(root)
    file.write(ET.tostring(root, encoding="utf-8", xml_declaration=True))
    file.write(b"\n")


def _clock(seconds: float) -> str:
    """Format as hours, minutes, seconds and milliseconds, rounded once: ``00:01:02.500``."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{thousandths:03d}"
