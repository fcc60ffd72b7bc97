"""Names of files that this package writes beside songs, and that are audio or lie beside audio."""

from __future__ import annotations

#: Note beside kept stems: what they were made of.
SEPARATION_NOTE = "separation.json"

#: End of the name of a song with clicks, in front of its suffix.
SONIFICATION_END = ".sonif"


def sonification_name(name: str, suffix: str) -> str:
    """Name of the file with clicks of the song `name`; the suffix comes without a point."""
    return f"{name}{SONIFICATION_END}.{suffix}"
