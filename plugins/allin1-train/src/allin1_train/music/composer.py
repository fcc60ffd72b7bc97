"""Composes seeded songs: notes by track, with annotations of beats, downbeats and sections.

A song has a genre (a set of parameters), a form (a sequence of labelled sections), and a material
for every kind of section (progression, groove, motifs) that is repeated with the section.
Positions are beats from the first downbeat; finally, a tempo map and swing convert them to seconds.
"""

from allin1_train.music.arrangement import Arrangement
from allin1_train.music.bars import draw_tempo, write_bars
from allin1_train.music.chance import Chance, weighted
from allin1_train.music.forms import form
from allin1_train.music.genres import GENRES
from allin1_train.music.harmony import MAJOR, MINOR
from allin1_train.music.instruments import add_instruments
from allin1_train.music.performance import perform_song
from allin1_train.music.pulse import mark_the_beat
from allin1_train.music.score import Song
from allin1_train.music.sketch import Sketch

#: Fraction of songs that follow the conventions by which sections are recognised.
CLEAR = 0.75


def compose(seed: int) -> Song:
    """Compose the song of a seed: the same seed gives the same song.

    Parameters
    ----------
    seed
        Any integer.
    """
    chance = Chance(seed)
    r = chance("song")
    name = weighted(r, {k: g.weight for k, g in GENRES.items()})
    genre = GENRES[name]
    n, div = weighted(r, genre.metres)
    bpm = draw_tempo(r, genre, (n, div))
    swing8 = genre.swing8 * r.uniform(0.85, 1.05) if genre.swing8 and r.random() < 0.9 else 0
    swing16 = r.uniform(0.52, 0.67) if r.random() < genre.swing16 else 0
    if div == 3 or swing8 < 0.5:
        swing8 = 0
    tonic, scale = r.randrange(12), MINOR if r.random() < 0.4 else MAJOR
    clear = r.random() < CLEAR
    sections = form(chance, genre.forms, genre.electronic, 60 / bpm * n)
    bars = write_bars(chance, genre, sections, n, tonic, scale)
    sketch = Sketch(chance, name, genre, n, div, bpm, clear, sections, bars)
    add_instruments(sketch)
    arrangement = Arrangement(chance, sections, [t.role for t in sketch.tracks], genre, clear)
    arrangement.apply(bars, sketch.tracks)
    for track in sketch.tracks:
        arrangement.balance(bars, track)
    mark_the_beat(sketch)
    return perform_song(sketch, swing8, swing16)
