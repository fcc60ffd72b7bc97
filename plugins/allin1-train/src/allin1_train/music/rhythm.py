"""Rhythms drawn by metrical weight."""

import random


def strengths(n: int, div: int) -> list[float]:
    """Metrical weight of every step of a bar of `n` beats with `div` steps each."""
    out = []
    for beat in range(n):
        on = 1.0 if beat == 0 else 0.8 if n == 4 and beat == 2 else 0.65
        for step in range(div):
            off = 0.42 if 2 * step == div else 0.3 if div == 3 else 0.17
            out.append(on if step == 0 else off)
    return out


def rhythm(
    r: random.Random, n: int, div: int, density: float, syncopation: float = 0.3
) -> list[tuple[float, float]]:
    """Random onsets of a bar as (offset, length until the next) in beats; never empty."""
    on = []
    for i, weight in enumerate(strengths(n, div)):
        chance = density * 1.6 * ((1 - syncopation) * weight + syncopation * r.random() * 0.8)
        if r.random() < min(0.97, chance):
            on.append(i)
    on = on or [0]
    return [(a / div, (b - a) / div) for a, b in zip(on, [*on[1:], n * div], strict=True)]


def offbeat(div: int) -> float:
    """Position of the second half of a beat: 0.5, or 2/3 for triplets."""
    return 0.5 if div == 4 else 2 / 3
