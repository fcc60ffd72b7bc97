"""Forms: the order, length, energy and material of sections."""

import random
from collections.abc import Mapping

from allin1_train.music.chance import Chance
from allin1_train.music.score import Section

#: Sequences of sections, one letter each (see `NAMES`), by kind of music.
FORMS: Mapping[str, tuple[str, ...]] = {
    "pop": (
        "IVCVCBCO", "IVCVCSCO", "IVVCVCBCC", "VCVCBCO", "IVCNVCBCO", "IVCVCNO", "ICVCVBCO", "IVCVCC",
        "IVNVCSCO", "IVBVBSBO", "VVCVC", "IVCKVCSKCO", "IVCVCKBCCO", "CVCVCO", "INVCVCBSCO", "IVVBVO",
        "IVCIVCBCO", "IVCVCSCCO", "ICVCVSBCO", "IVVCNVCKCO",
    ),
    "edm": (
        "INKCNKCO", "IVCKVCO", "IVKCVKCO", "INCKNCO", "IKCVKCO", "IVCVKBCO", "INKNKNO", "IVNKVNO",
        "IKCNKCO", "INKCKCO", "IVKCNKCO", "KCVKCO", "IKCBKCO", "INVKCKCO", "IKNKCNO",
    ),
    "techno": ("INKNNO", "INNKNO", "INKNKNO", "INBNO", "NKNBN"),
    "jazz": ("IVSSSVO", "IVVSSVO", "INSSNO", "VVSSBVO", "NSSSN", "IVVSVO"),
    "folk": ("IVCVCVCO", "VVVV", "IVVVVO", "VVBVO", "IVNVNVO", "IVCVSCO", "NNBN", "VCVCNC"),
    "classical": ("INBNO", "NNBNBN", "VVBV", "INNBNNO", "IVVBVO", "NBNSNO", "NBKNO"),
    "game": ("IVCVCO", "IVVCBC", "NBNSN", "INBNO", "VCVCBC", "INSNBNO", "IVCBVC", "VVCVCKCO"),
}  # fmt: skip
NAMES: Mapping[str, str] = {
    "I": "intro", "V": "verse", "C": "chorus", "B": "bridge",
    "N": "inst", "S": "solo", "K": "break", "O": "outro",
}  # fmt: skip
ENERGY: Mapping[str, float] = {
    "intro": 0.35, "verse": 0.5, "chorus": 0.85, "bridge": 0.6,
    "inst": 0.65, "solo": 0.72, "outro": 0.45, "break": 0.2,
}  # fmt: skip
BARS: Mapping[str, tuple[int, ...]] = {
    "intro": (2, 4, 4, 8), "verse": (8, 8, 16), "chorus": (8, 8, 16), "bridge": (4, 8, 8),
    "break": (2, 4, 8), "inst": (4, 8, 8, 16), "solo": (8, 8, 16), "outro": (2, 4, 4, 8),
}  # fmt: skip
ELECTRONIC_BARS: Mapping[str, tuple[int, ...]] = {
    **BARS, "intro": (4, 8, 8, 16, 32), "break": (4, 8, 8, 16, 16, 32), "inst": (8, 8, 16, 16), "outro": (4, 8, 8, 16),
}  # fmt: skip
JAZZ_BARS: Mapping[str, tuple[int, ...]] = {**BARS, "verse": (12, 16, 16), "solo": (12, 16, 16)}

LONGEST_S, LONGEST_ELECTRONIC_S = 40.0, 64.0
SHORTEST_S = 9.0
SHORTEST_EDGE_S = 5.0


def form(chance: Chance, forms: str, electronic: bool, bar_seconds: float) -> list[Section]:
    """Draw the sections of a song.

    Parameters
    ----------
    chance
        The song's streams.
    forms
        Key of `FORMS`.
    electronic
        Whether sections are as long as in electronic music.
    bar_seconds
        Length of a bar in seconds, to limit the length of sections.
    """
    r = chance("form")
    plan = _lengths(r, forms, electronic, bar_seconds)
    contrast = _contrast(r)
    jitter = {label: r.uniform(-0.12, 0.12) for label in ENERGY}
    seen: dict[str, int] = {}
    sections = []
    for i, (label, size) in enumerate(plan):
        seen[label] = seen.get(label, 0) + 1
        energy = ENERGY[label] + jitter[label] + contrast.get(label, 0) + 0.06 * (seen[label] - 1)
        if label == "chorus" and i >= len(plan) - 2:
            energy += 0.12
        if i and label == plan[i - 1][0]:  # a second verse in a row adds to the first
            energy += 0.1
        if label == "bridge" and r.random() < 0.3:
            energy -= 0.3
        if label == "intro" and r.random() < 0.25:
            energy += 0.4
        if label == "outro" and r.random() < 0.25:
            energy += 0.25
        material = label
        if label in ("intro", "outro", "break", "inst"):
            material = r.choice(["verse", "chorus", label])
        if label == "solo":
            material = r.choice(["verse", "verse", "chorus", "solo"])
        sections.append(Section(label, size, min(1, max(0.05, energy)), material, seen[label]))
    return sections


def _lengths(
    r: random.Random, forms: str, electronic: bool, bar_seconds: float
) -> list[tuple[str, int]]:
    options = JAZZ_BARS if forms == "jazz" else ELECTRONIC_BARS if electronic else BARS
    target = r.uniform(75, 190)
    longest = LONGEST_ELECTRONIC_S if electronic else LONGEST_S
    usual: dict[str, int] = {}
    plan = []
    for letter in r.choice(FORMS[forms]):
        label = NAMES[letter]
        size = usual.setdefault(label, r.choice(options[label]))
        if r.random() > 0.8:
            size = r.choice(options[label])
        while size > 1 and size * bar_seconds > longest:
            size //= 2
        shortest = SHORTEST_EDGE_S if label in ("intro", "outro", "break") else SHORTEST_S
        while size * bar_seconds < shortest:
            size *= 2
        if r.random() < (0.02 if electronic else 0.06):
            size += r.choice([-1, 1, 2, -2])
        plan.append((label, max(1, size)))
    while len(plan) > 3 and sum(size for _, size in plan) * bar_seconds > target + 15:
        plan.pop(r.randrange(1, len(plan) - 1))
    return plan


def _contrast(r: random.Random) -> dict[str, float]:
    """Deviations of this song from quiet verses and loud choruses."""
    kind = r.random()
    if kind < 0.14:
        return {"verse": r.uniform(0.2, 0.4)}  # a loud verse
    if kind < 0.22:
        return {"chorus": -r.uniform(0.2, 0.4)}  # a quiet chorus
    if kind < 0.32:
        level = r.uniform(0.45, 0.8)  # equally loud throughout
        return {k: 0.8 * (level - v) for k, v in ENERGY.items() if k != "break"}
    return {}
