"""Names of results: one for each song, valid and distinct on every file system."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

#: Limit in bytes for a name. File systems allow 255, including the extension.
MOST_BYTES = 220


def portable_name(name: str, suffix: str = "") -> str:
    """Turn `name` into a valid name of a file or folder: not empty, ``.`` or ``..``, and not too long.

    A name that is too long is truncated, and a digest of the full name is appended, so that the result is reproducible
    and distinct.

    Parameters
    ----------
    name
        Name of the song.
    suffix
        Appended to the name, and never truncated.

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
    """Return a form of `name` that is equal for names which a file system may treat as the same.

    >>> folded("Café") == folded("CAFE\N{COMBINING ACUTE ACCENT}")
    True
    """
    plain = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", plain).rstrip(". ")


def unique_names(
    songs: Sequence[tuple[str, Path]], exists: Callable[[Path], bool] = lambda source: True
) -> list[str]:
    """Name songs so that no two share a file on any file system.

    A song keeps its own name if it is unique. Songs of the same name in different folders are prefixed with as many
    parent folders as needed, and those in the same folder get their extension as a suffix; names that are still the
    same are numbered in the order of the sources.

    Parameters
    ----------
    songs
        Name and absolute source of each. A source may be repeated, and gets the same name.
    exists
        Whether a source exists. A missing source gets no result, so it does not change the name of another song. Called
        only for songs with equal names.

    Returns
    -------
    list of str
        A name for each song, valid according to :func:`portable_name`.

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
            absent = [source for source in group if not exists(source)]
            if len(absent) < len(group):
                missing += [(source, key, group.pop(source)) for source in absent]
        if len(group) == 1:
            ((source, name),) = group.items()
            names[key, source] = portable_name(name)
            taken.add(key)
        else:
            wanted += [(source, key, name) for source, name in _distinguished(group).items()]
    numbers: Counter[str] = Counter()
    for source, key, name in sorted(wanted, key=lambda one: os.fsencode(one[0])):
        names[key, source] = _not_taken(name, taken, numbers)
    for source, key, name in missing:
        names[key, source] = _not_taken(name, taken, numbers)
    return [names[folded(portable_name(name)), source] for name, source in songs]


def _not_taken(name: str, taken: set[str], numbers: Counter[str]) -> str:
    """Append a number to the name if it is taken, and mark the result as taken."""
    found = portable_name(name)
    first = folded(found)
    while folded(found) in taken:
        numbers[first] = max(2, numbers[first] + 1)
        found = portable_name(name, f"_{numbers[first]}")
    taken.add(folded(found))
    return found


def _distinguished(group: dict[Path, str]) -> dict[Path, str]:
    """Add prefixes of parent folders, and extensions as suffixes, to names of different songs."""
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
    """The shortest unique tail of each folder's path, joined by underscores, as a prefix."""
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
