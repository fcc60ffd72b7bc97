"""What results are called: one name for each song, which every file system takes and keeps apart from the others."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

#: Most bytes of a name. File systems take 255, and extensions come behind it.
MOST_BYTES = 220


def portable_name(name: str, suffix: str = "") -> str:
    """Make `name` one that a file or folder may have: not empty, ``.`` or ``..``, and not too long.

    What is too long is cut, and a digest of the whole put behind it, so that it is the same every time and differs where
    the rest does.

    Parameters
    ----------
    name
        What the song is called.
    suffix
        Put behind it, and never cut.

    >>> portable_name("Song"), portable_name(".."), portable_name("")
    ('Song', '__', '_')
    >>> portable_name("n" * 300)[-12:]
    'nnn~306fffda'
    """
    name = name.replace("/", "_").replace("\0", "_")
    if not name.strip(". "):
        name = "_" * max(1, len(name))
    raw, end = os.fsencode(name), os.fsencode(suffix)
    if len(raw) + len(end) > MOST_BYTES:
        mark = f"~{hashlib.blake2b(raw, digest_size=4).hexdigest()}"
        length = max(0, MOST_BYTES - len(mark) - len(end))
        while length and raw[length] & 0xC0 == 0x80:  # within a character
            length -= 1
        name = os.fsdecode(raw[:length]) + mark
    return name + suffix


def folded(name: str) -> str:
    """Give what two names have in common that a file system may take for one.

    >>> folded("Café") == folded("CAFE\N{COMBINING ACUTE ACCENT}")
    True
    """
    plain = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", plain).rstrip(". ")


def unique_names(
    songs: Sequence[tuple[str, Path]], is_there: Callable[[Path], bool] = lambda source: True
) -> list[str]:
    """Name songs so that no two share a file, whatever the file system takes for the same name.

    A song keeps its own name where no other has it. Songs of one name from different folders get as many of their
    parents in front as tell them apart, and those of one folder their extension behind; what is
    still the same then is numbered, in the order of the sources.

    Parameters
    ----------
    songs
        Name and absolute source of each. The same source may come again, and has the same name then.
    is_there
        Whether a source exists. One that does not has no result, and is no reason to rename another; asked only for songs
        of one name.

    Returns
    -------
    list of str
        For each song, made by :func:`portable_name`.

    >>> unique_names([("song", Path("/a/song.wav")), ("song", Path("/b/song.wav"))])
    ['a_song', 'b_song']
    """
    groups: dict[str, dict[Path, str]] = defaultdict(dict)
    for name, source in songs:
        groups[folded(portable_name(name))].setdefault(source, name)
    names: dict[tuple[str, Path], str] = {}
    wanted: list[tuple[Path, str, str]] = []
    missing: list[tuple[Path, str, str]] = []
    taken = set()
    for key, group in groups.items():
        if len(group) > 1:
            absent = [source for source in group if not is_there(source)]
            if len(absent) < len(group):
                missing += [(source, key, group.pop(source)) for source in absent]
        if len(group) == 1:
            ((source, name),) = group.items()
            names[key, source] = portable_name(name)
            taken.add(key)
        else:
            wanted += [(source, key, name) for source, name in _told_apart(group).items()]
    numbers: Counter[str] = Counter()
    for source, key, name in sorted(wanted, key=lambda one: os.fsencode(one[0])):
        names[key, source] = _not_taken(name, taken, numbers)
    for source, key, name in missing:
        names[key, source] = _not_taken(name, taken, numbers)
    return [names[folded(portable_name(name)), source] for name, source in songs]


def _not_taken(name: str, taken: set[str], numbers: Counter[str]) -> str:
    """Number a name that is taken already; it is taken afterwards."""
    found = portable_name(name)
    first = folded(found)
    while folded(found) in taken:
        numbers[first] = max(2, numbers[first] + 1)
        found = portable_name(name, f"_{numbers[first]}")
    taken.add(folded(found))
    return found


def _told_apart(group: dict[Path, str]) -> dict[Path, str]:
    """Put parents in front of the names of different songs, and extensions behind."""
    siblings: dict[Path, list[Path]] = defaultdict(list)
    for source in group:
        siblings[source.parent].append(source)
    prefixes = _distinct_tails(siblings)
    named = {}
    for parent, sources in siblings.items():
        tells = len({source.suffix.casefold() for source in sources}) > 1
        for source in sources:
            extension = f"_{source.suffix.lstrip('.')}" if tells and source.suffix else ""
            named[source] = f"{prefixes[parent]}{group[source]}{extension}"
    return named


def _distinct_tails(folders: Iterable[Path]) -> dict[Path, str]:
    """Give as many trailing parts of each folder as no other one shares, joined by underscores, as a prefix."""
    left = {folder: tuple(folded(part) for part in folder.parts) for folder in folders}
    if len(left) == 1:
        return dict.fromkeys(left, "")
    prefixes, count = {}, 0
    while left:
        count += 1
        shared = Counter(parts[-count:] for parts in left.values())
        for folder, parts in list(left.items()):
            if shared[parts[-count:]] == 1 or count >= len(parts):
                tail = (part.strip("/\\:") for part in folder.parts[-count:])
                prefixes[folder] = "".join(f"{part}_" for part in tail if part)
                del left[folder]
    return prefixes
