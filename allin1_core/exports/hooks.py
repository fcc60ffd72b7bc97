"""The core's own exporters, registered like any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.export import Exporter
from allin1_core.markers import hookimpl

_JAMS = Needs(("jams>=0.3.4",), remedy="Install it: pip install jams.")
_MIDO = Needs(("mido>=1.3",), remedy="Install it: pip install mido.")


@hookimpl
def allin1_exporters() -> Iterable[Exporter]:
    """Provide an exporter for each format that the core can write."""
    here = "allin1_core.exports"
    yield Exporter("jams", ".jams", "JAMS, for research", f"{here}.jams:write", _JAMS)
    yield Exporter("csv", ".csv", "Beats and segments in one table", f"{here}.tables:write_csv")
    yield Exporter("csv-beats", ".beats.csv", "Beats", f"{here}.tables:write_csv_beats")
    yield Exporter("csv-segments", ".segments.csv", "Segments", f"{here}.tables:write_csv_segments")
    yield Exporter("tsv", ".tsv", "Beats and segments in one table", f"{here}.tables:write_tsv")
    yield Exporter("tsv-beats", ".beats.tsv", "Beats", f"{here}.tables:write_tsv_beats")
    yield Exporter("tsv-segments", ".segments.tsv", "Segments", f"{here}.tables:write_tsv_segments")
    yield Exporter("beats", ".beats", "Beats as beat_this writes them", f"{here}.text:write_beats")
    yield Exporter(
        "madmom", ".beats.txt", "Beats as madmom writes them", f"{here}.text:write_madmom"
    )
    yield Exporter("lab", ".lab", "Segments for mir_eval", f"{here}.text:write_lab")
    yield Exporter(
        "audacity-beats", ".labels.txt", "Audacity label track", f"{here}.text:write_audacity_beats"
    )
    yield Exporter(
        "audacity-segments",
        ".segments.txt",
        "Audacity label track",
        f"{here}.text:write_audacity_segments",
    )
    yield Exporter(
        "svl-beats", ".beats.svl", "Sonic Visualiser time instants", f"{here}.svl:write_beats"
    )
    yield Exporter(
        "svl-segments", ".segments.svl", "Sonic Visualiser regions", f"{here}.svl:write_segments"
    )
    yield Exporter(
        "midi",
        ".mid",
        "MIDI tempo map and markers, also for Ableton Live",
        f"{here}.midi:write",
        _MIDO,
    )
    yield Exporter(
        "rekordbox",
        ".rekordbox.xml",
        "Rekordbox collection: beat grids and cue points",
        f"{here}.rekordbox:write",
        collects=True,
    )
    yield Exporter(
        "traktor",
        ".nml",
        "Traktor collection: beat grids and cue points",
        f"{here}.traktor:write",
        collects=True,
    )
    yield Exporter(
        "reaper", ".rpp", "REAPER project: tempo map, markers, regions", f"{here}.reaper:write"
    )
    yield Exporter("cue", ".cue", "Cue sheet of the segments", f"{here}.cue:write")
    yield Exporter("markdown", ".md", "A table for people", f"{here}.markdown:write")
