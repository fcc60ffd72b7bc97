"""Tempo, and the bars of a form with their harmony."""

import itertools
import random

import numpy as np

from allin1_train.music.chance import Chance
from allin1_train.music.genres import SIX_EIGHT, Genre, Metre
from allin1_train.music.harmony import DARK, MINOR, POP, chord, is_minor
from allin1_train.music.score import Bar, Chord, Section

SLOWEST, FASTEST = 60.0, 182.0


def draw_tempo(r: random.Random, genre: Genre, metre: Metre) -> float:
    """Draw a tempo that a listener would tap, in beats per minute."""
    for _ in range(8):
        bpm = genre.bpm * float(np.exp(r.gauss(0, genre.spread)))
        if SLOWEST <= bpm <= FASTEST:
            break
    bpm = min(FASTEST, max(SLOWEST, bpm))
    if metre == SIX_EIGHT:
        bpm = min(140.0, max(52.0, bpm * r.choice([0.6, 0.75, 0.9])))
    if genre.electronic and r.random() < 0.85:
        bpm = float(round(bpm))
    return bpm


def write_bars(
    chance: Chance,
    genre: Genre,
    sections: list[Section],
    n: int,
    tonic: int,
    scale: tuple[int, ...],
) -> list[Bar]:
    """Bars of all sections: harmony by material, modulations, odd lengths, sudden rests.

    Parameters
    ----------
    chance
        The song's streams.
    genre
        Gives the progressions.
    sections
        The form.
    n
        Beats of a bar.
    tonic, scale
        The key; a progression in minor overrides the scale.
    """
    r = chance("harmony")
    materials: dict[str, tuple[list[str], int, bool]] = {}
    modulates = r.random() < 0.12
    bridge_shift = r.choice([0, 0, 0, 5, -3, 2])
    odd = r.random() < (0.01 if genre.electronic else 0.05)
    shift, at = 0, 0.0
    bars: list[Bar] = []
    for s, section in enumerate(sections):
        if modulates and section.label == "chorus" and s >= len(sections) - 3:
            shift, modulates = r.choice([1, 2]), False
        if section.material not in materials:
            materials[section.material] = _progression(chance, genre, section.material, n)
        tokens, stretch, halves = materials[section.material]
        t = tonic + shift + (bridge_shift if section.label == "bridge" else 0)
        for b in range(section.bars):
            if halves:
                pair = (tokens[2 * b % 4], tokens[(2 * b + 1) % 4])
                chords = [Chord(k * n / 2, *chord(token, t)) for k, token in enumerate(pair)]
            else:
                chords = [Chord(0, *chord(tokens[b // stretch % len(tokens)], t))]
            size = n
            if odd and b == section.bars - 1 and n > 2 and r.random() < 0.4:
                size += r.choice([-1, 1, n])
            mode = MINOR if is_minor(tokens) else scale
            bars.append(
                Bar(at, size, s, section.label, section.energy, b, section.bars, section.material,
                    section.nth, chords, t % 12, mode)
            )  # fmt: skip
            at += size
    for a, b_ in itertools.pairwise(bars):  # a sudden rest before a section
        if b_.section != a.section and b_.energy > a.energy + 0.1:
            a.silent = chance("rest", a.section).random() < 0.12
    return bars


def _progression(
    chance: Chance, genre: Genre, material: str, n: int
) -> tuple[list[str], int, bool]:
    """Chords, bars per chord, and whether a bar has two of them."""
    q = chance("harmony", material)
    own = material != "bridge" or q.random() < 0.5
    tokens = q.choice(genre.progressions if own else POP + DARK).split()
    stretch = q.choice([1, 1, 1, 2]) if len(tokens) <= 4 else 1
    return tokens, stretch, len(tokens) == 4 and n == 4 and q.random() < 0.15
