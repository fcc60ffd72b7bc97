"""Noise that leads from one section to the next: risers, impacts, downlifters, reversed cymbals."""

from allin1_train.music.chance import Chance
from allin1_train.music.score import Bar, Track

RISER, IMPACT, DOWNLIFTER, REVERSED = 1, 2, 3, 4


def transitions(chance: Chance, bars: list[Bar], track: Track, often: bool) -> None:
    """Write the effects around the starts of sections.

    If the energy rises, there is usually a riser before and an impact at the boundary; if it falls,
    there may be a downlifter; between sections of equal energy, rarely a reversed cymbal.
    """
    for i, bar in enumerate(bars[1:], 1):
        if bar.index:
            continue
        before = bars[i - 1]
        r = chance("transition", i)
        if bar.energy > before.energy + 0.12:
            if r.random() < 0.8:
                length = min(bar.at, before.n * r.choice([1, 2, 4] if often else [1, 1, 2]))
                kind = RISER if often or r.random() < 0.4 else REVERSED
                track.add(bar.at - length, length, kind)
            if r.random() < 0.6:
                track.add(bar.at, 4, IMPACT, 0.9)
        elif bar.energy < before.energy - 0.12:
            if r.random() < 0.5:
                track.add(bar.at, bar.n * r.choice([1, 2]), DOWNLIFTER, 0.7)
            if r.random() < 0.25:
                track.add(bar.at, 4, IMPACT, 0.8)
        elif r.random() < 0.3:
            length = min(bar.at, before.n * r.choice([0.5, 1]))
            track.add(bar.at - length, length, REVERSED, 0.6)
