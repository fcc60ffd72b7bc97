"""Finds the stems of a song by a pattern of their names, as separators write them."""

from __future__ import annotations

from pathlib import Path

from allin1_core.contracts.audio import STEMS
from allin1_core.errors import InputError
from allin1_core.io.stems import PARTS_OF_OTHER, StemFiles

#: Named patterns for the output of well-known programs: Ultimate Vocal Remover, Spleeter and Demucs.
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
        The song; ``{name}`` in the pattern matches exactly its name without extension, so ``song`` never gets the stems
        of ``song2``.
    pattern
        A pattern such as ``{name}_({stem}).flac``, or the name of a known one. ``{stem}`` matches ``bass``, ``drums``,
        ``other`` and ``vocals``, also as ``Bass`` or ``BASS``; guitar and piano are optional.
    folder
        Folder to search; None for that of the song.

    Returns
    -------
    StemFiles
        The files. If a stem is missing, its expected path, so that reading it raises an error.

    Raises
    ------
    InputError
        The pattern has no ``{stem}``, or other placeholders.

    >>> stems_by_pattern(Path("album/song.mp3"), "{name}_{stem}.wav").bass.as_posix()
    'album/song_bass.wav'
    """
    pattern = KNOWN.get(pattern, pattern)
    if "{stem}" not in pattern:
        raise InputError(
            f"The pattern {pattern} has no {{stem}}.",
            remedy=f'Use, for example, "{{name}}_({{stem}}).flac", or one of {", ".join(KNOWN)}.',
        )
    folder = song.parent if folder is None else folder

    def place(stem: str) -> Path:
        try:
            return folder / pattern.format(name=song.stem, stem=stem)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise InputError(
                f"The pattern {pattern} is invalid.",
                remedy="The only placeholders are {name} and {stem}; double other braces.",
            ) from error

    def find(stem: str) -> Path | None:
        spellings = (stem, stem.capitalize(), stem.upper())
        return next((path for path in map(place, spellings) if path.is_file()), None)

    bass, drums, other, vocals = (find(stem) or place(stem) for stem in STEMS)
    guitar, piano = (find(stem) for stem in PARTS_OF_OTHER)
    return StemFiles(bass, drums, other, vocals, guitar, piano)
