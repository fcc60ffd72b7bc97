"""Stems beside a song, by a pattern of their names, as separators write them."""

from __future__ import annotations

from pathlib import Path

from allin1_core.contracts.audio import STEMS
from allin1_core.errors import InputError
from allin1_core.io.stems import PARTS_OF_OTHER, StemFiles

#: Patterns by name, for what well-known programs write: Ultimate Vocal Remover, Spleeter and Demucs.
KNOWN = {
    "uvr": "{name}_({stem}).wav",
    "spleeter": "{name}/{stem}.wav",
    "demucs": "{name}/{stem}.wav",
}


def stems_by_pattern(song: Path, pattern: str, folder: Path | None = None) -> StemFiles:
    """Find the stems of a song.

    Parameters
    ----------
    song
        The song; ``{name}`` in the pattern is its name without extension, and nothing else, so that ``song`` never gets
        the stems of ``song2``.
    pattern
        Such as ``{name}_({stem}).flac``, or the name of a known one. ``{stem}`` is ``bass``, ``drums``, ``other`` and
        ``vocals``, also as ``Bass`` or ``BASS``; guitar and piano are taken where they are there.
    folder
        Where to look; None for the folder of the song.

    Returns
    -------
    StemFiles
        Of a stem that is not there, the path where it should be, so that reading it says so.

    Raises
    ------
    InputError
        The pattern has no ``{stem}``, or something else in braces.

    >>> stems_by_pattern(Path("album/song.mp3"), "{name}_{stem}.wav").bass.as_posix()
    'album/song_bass.wav'
    """
    pattern = KNOWN.get(pattern, pattern)
    if "{stem}" not in pattern:
        raise InputError(
            f"The pattern {pattern} has no {{stem}}.",
            remedy=f'Such as "{{name}}_({{stem}}).flac", or {", ".join(KNOWN)}.',
        )
    folder = song.parent if folder is None else folder

    def place(stem: str) -> Path:
        try:
            return folder / pattern.format(name=song.stem, stem=stem)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise InputError(
                f"The pattern {pattern} is not understood.",
                remedy="It may hold {name} and {stem}; braces are written twice.",
            ) from error

    def find(stem: str) -> Path | None:
        spellings = (stem, stem.capitalize(), stem.upper())
        return next((path for path in map(place, spellings) if path.is_file()), None)

    bass, drums, other, vocals = (find(stem) or place(stem) for stem in STEMS)
    guitar, piano = (find(stem) for stem in PARTS_OF_OTHER)
    return StemFiles(bass, drums, other, vocals, guitar, piano)
