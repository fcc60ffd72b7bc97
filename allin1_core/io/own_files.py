"""Names of audio files that this package writes, so that they are not mistaken for songs."""

from __future__ import annotations

#: File next to kept stems that states their origin.
SEPARATION_NOTE = "separation.json"

#: End of the name of a song with clicks, before its suffix.
SONIFICATION_END = ".sonif"


def sonification_name(name: str, suffix: str) -> str:
    """File name for the song `name` with clicks; `suffix` is given without its dot."""
    return f"{name}{SONIFICATION_END}.{suffix}"
