"""The drummer: which groove each bar plays, fills, crashes, build-ups; and percussion."""

from allin1_train.music.chance import Chance
from allin1_train.music.fills import fill, roll
from allin1_train.music.genres import Genre
from allin1_train.music.grooves import KICK, BarOfDrums, Hit, thin
from allin1_train.music.rhythm import rhythm
from allin1_train.music.score import Bar, Track

#: Grooves that have a calm half-time form for the bridge.
HALVABLE = ("rock", "pop", "metal", "double", "electro", "chip")
CRASHES = (49, 57)


def drum_track(
    chance: Chance, bars: list[Bar], track: Track, style: str, div: int, genre: Genre, clear: bool
) -> None:
    """Write the drums.

    Parameters
    ----------
    chance
        The song's streams.
    bars
        All bars.
    track
        Receives the notes.
    style
        The song's groove.
    div
        Steps of a beat.
    genre
        Steers build-ups, breakdowns and how often fills come.
    clear
        Whether cymbals follow the label (open in choruses) instead of the energy alone.
    """
    q = chance("drums")
    p_crash, p_fill, p_vary = q.uniform(0.2, 1), q.uniform(0.2, 1), q.uniform(0, 0.5)
    quiet, silent_below = q.uniform(0.3, 0.5), q.uniform(0.1, 0.36)
    light = q.choice(["hats", "kick", "rim"])
    half_bridge = div == 4 and style in HALVABLE and q.random() < 0.35
    half_break = genre.electronic and q.random() < 0.3
    late_intro = q.random() < 0.4
    for i, bar in enumerate(bars):
        mode = "none" if bar.energy < silent_below else "light" if bar.energy < quiet else "full"
        if bar.label == "intro" and late_intro and bar.index < bar.count / 2:
            mode = "none"
        if genre.electronic and bar.label == "break":
            mode = "none" if bar.index < bar.count * q.choice([0.5, 1, 1]) else "light"
        name = style
        if (half_bridge and bar.label == "bridge") or (half_break and bar.label == "break"):
            name = "half"
        loud = (
            bar.energy > 0.7 if not clear else bar.label in ("chorus", "solo") or bar.energy > 0.85
        )
        hits: list[Hit] = []
        if mode != "none":
            g = chance("groove", bar.material, "hi" if loud else "lo")
            base = BarOfDrums(g, bar.n, div, loud).play(name)
            variant = BarOfDrums(g, bar.n, div, loud).play(name)
            turn = bar.index % 4 == 3 and chance("var", bar.material).random() < 0.5
            hits = variant if turn or chance("vary", i).random() < p_vary * 0.3 else base
            if mode == "light":
                hits = thin(hits, light)
        last = bar.index == bar.count - 1
        f = chance("fill", i)
        rises = _rises(bars, i)
        at_end = last and f.random() < p_fill
        inside = bar.index % 4 == 3 and f.random() < p_fill * (0.35 if bar.index % 8 == 7 else 0.15)
        if mode == "full" and (at_end or inside):
            start, strokes = fill(f, bar.n, div)
            hits = [h for h in hits if h.at < start] + strokes
        building = genre.electronic and rises and bar.count - bar.index <= 2
        if building and chance("build", bar.section).random() < 0.7:
            keep = f.random() < 0.5
            hits = [h for h in hits if h.key != KICK or keep] + roll(f, bar.n, bar.count > 2)
        elif rises and last and mode == "light" and f.random() < 0.3:
            hits += roll(f, bar.n, False)
        if mode == "full" and (
            (bar.index == 0 and f.random() < p_crash) or (bar.index % 4 == 0 and f.random() < 0.06)
        ):
            hits.append(Hit(0, f.choice(CRASHES), 0.85))
        gain = 0.75 + 0.3 * bar.energy
        for h in hits:
            if h.at < bar.n:
                track.add(bar.at + h.at, 0.25, h.key, h.velocity * gain)


def _rises(bars: list[Bar], i: int) -> bool:
    """Whether the next section has much more energy."""
    following = i + bars[i].count - bars[i].index
    return following < len(bars) and bars[following].energy > bars[i].energy + 0.15


def percussion(chance: Chance, bars: list[Bar], track: Track, div: int) -> None:
    """A tambourine, shaker, cowbell or conga on a fixed grid or against it."""
    q = chance("perc")
    key = q.choice([54, 70, 82, 69, 56, 62, 76])
    grid = q.choice(["16", "8", "back", "sync"])
    start = q.uniform(0.3, 0.75)
    for bar in bars:
        if bar.energy < start:
            continue
        r = chance("percbar", bar.material)
        if grid == "sync":
            at = [a for a, _ in rhythm(r, bar.n, div, 0.5, 0.8)]
        elif grid == "back":
            at = [float(k) for k in range(1, bar.n, 2)]
        else:
            half = (0, div // 2 + (div == 3))
            at = [
                k + j / div for k in range(bar.n) for j in range(div) if grid == "16" or j in half
            ]
        for a in at:
            other = key == 62 and r.random() < 0.2
            track.add(bar.at + a, 0.2, key + other, 0.45 if a % 1 else 0.65)
