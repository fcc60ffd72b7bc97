"""Fills and rolls that lead into the next section."""

import random

from allin1_train.music.grooves import CLAP, KICK, SNARE, Hit


def fill(r: random.Random, n: int, div: int) -> tuple[float, list[Hit]]:
    """Start of a fill in its bar, and its strokes."""
    start = max(0.0, n - r.choice([0.5, 1, 1, 2, min(n, 4)]))
    if r.random() < 0.1:  # a rest instead
        return start, []
    step = r.choice([1 / div, 1 / div, 2 / div if div == 4 else 1 / 3])
    toms = sorted(r.sample([50, 48, 47, 45, 43, 41, SNARE, SNARE], 4), reverse=True)
    gap, on_toms = r.choice([0, 0.15, 0.3]), r.choice([0.2, 0.75, 0.9])
    hits = []
    at = start
    while at < n - 1e-6:
        if r.random() >= gap:
            part = (at - start) / (n - start)
            key = toms[min(3, int(part * 4))] if r.random() < on_toms else SNARE
            hits.append(Hit(at, key, 0.55 + 0.4 * part))
        at += step
    if r.random() < 0.5:
        hits += [Hit(float(k), KICK, 0.7) for k in range(int(-(-start // 1)), n)]
    return start, hits


def roll(r: random.Random, n: int, whole: bool) -> list[Hit]:
    """A snare roll that swells over one bar, in quarters to sixteenths."""
    steps = [k for k in range(4 * n) if k % 2 == 0 or k >= 2 * n]
    hits = [Hit(k / 4, SNARE, 0.3 + 0.6 * k / (4 * n)) for k in steps]
    if not whole:
        hits = [h for h in hits if h.at >= n / 2]
    return hits if r.random() < 0.9 else [Hit(h.at, CLAP, h.velocity) for h in hits]
