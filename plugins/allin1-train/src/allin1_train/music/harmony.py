"""Scales, chords and progressions."""

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
QUALITY = {
    "": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10),
    "dim": (0, 3, 6), "m7b5": (0, 3, 6, 10), "sus4": (0, 5, 7), "sus2": (0, 2, 7),
    "9": (0, 4, 7, 10, 14), "m9": (0, 3, 7, 10, 14), "6": (0, 4, 7, 9), "5": (0, 7, 12),
}  # fmt: skip

# Progressions: one chord a bar, as degrees of the major scale ("b6": flattened) and a quality.
POP = [
    "1 5 6m 4",
    "6m 4 1 5",
    "1 6m 4 5",
    "1 4 6m 5",
    "4 5 3m 6m",
    "4 1 5 6m",
    "1 5 4 4",
    "1 3m 4 5",
    "1 4 1 5",
    "2m 4 1 5",
    "4 4 1 1 4 4 5 5",
    "1 5 6m 3m 4 1 4 5",
    "1 1 4 4",
    "6m 5 4 5",
    "1 b7 4 1",
    "1 4 2m 5",
    "1 37 6m 4",
    "1 1maj7 4 4m",
    "4maj7 5 3m7 6m7",
    "1sus2 6m7 4sus2 5sus4",
]

DARK = [
    "1m b6 b3 b7",
    "1m b7 b6 b7",
    "1m b7 b6 5",
    "1m 4m 5m 1m",
    "1m 1m b6 b7",
    "1m b3 b7 4m",
    "1m 4m b7 b3 b6 2dim 5 1m",
    "1m b6 4m 5",
    "1m 5m b6 b3",
    "1m 1m 1m b7",
    "1m b2 1m b7",
    "1m b6 1m b7",
    "1m 4 1m 4",
    "4m 4m 1m 1m",
]

JAZZ = [
    "2m7 57 1maj7 67",
    "1maj7 6m7 2m7 57",
    "3m7 67 2m7 57",
    "1maj7 1maj7 2m7 57",
    "2m7b5 57 1m7 1m7",
    "1m7 4m7 b77 b3maj7 b6maj7 2m7b5 57 1m7",
    "1maj7 47 3m7 67 2m7 57 1maj7 57",
    "1m7 1m7 2m7b5 57",
]

BLUES = [
    "17 17 17 17 47 47 17 17 57 47 17 57",
    "17 47 17 17 47 47 17 17 2m7 57 17 57",
    "1m7 1m7 1m7 1m7 4m7 4m7 1m7 1m7 b67 57 1m7 1m7",
]

VAMP = [
    "1m7 1m7",
    "1m7 47",
    "17 17",
    "1m9 4m9",
    "1m 1m",
    "1 b7",
    "1m7 b77",
    "1m b6",
    "1maj7 4maj7",
    "b6maj7 57 1m7 1m7",
]

FOLK = [
    "1 4 1 5",
    "1 1 5 1",
    "1 5 4 1",
    "1 4 5 1",
    "1 6m 4 5",
    "1 1 4 1 1 5 1 1",
    "1m b7 1m 5",
    "6m 4 5 6m",
    "1 2m 5 1",
]

POWER = [
    "15 b65 b75 15",
    "15 b35 45 15",
    "15 15 b25 15",
    "15 b75 b65 55",
    "15 45 b65 b75",
]
#: Long, slow progressions of orchestral and film music.
EPIC = [
    "1m b6 b3 b7",
    "1m 1m b6 b6 4m 4m 5 5",
    "1m b7 b6 b7",
    "1m b6 4m 5",
    "1 5m 4 1",
    "1m b3 b6 4",
    "1m 2 b6 5",
    "1 b6 b7 1",
]


def chord(token: str, tonic: int) -> tuple[int, tuple[int, ...]]:
    """Return root (pitch class) and intervals of a token such as ``b6maj7`` in the key `tonic`."""
    root = 0
    if token[0] == "b":
        root, token = -1, token[1:]
    root += MAJOR[int(token[0]) - 1]
    return (tonic + root) % 12, QUALITY[token[1:]]


def is_minor(tokens: list[str]) -> bool:
    """Whether a progression's first chord is minor."""
    first = tokens[0].lstrip("b")[1:]
    return first.startswith("m") and not first.startswith("maj")


def near(pitch_class: int, centre: int) -> int:
    """The highest pitch of a class that is at most `centre` + 5."""
    return centre - 6 + (pitch_class - centre + 6) % 12


def voicing(root: int, intervals: tuple[int, ...], centre: int) -> list[int]:
    """Pitches of a chord around `centre`, in increasing order."""
    return sorted(near(root + x, centre) for x in intervals)
