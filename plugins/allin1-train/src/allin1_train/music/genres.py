"""Genres: tempo, metre, harmony, grooves and instruments of 32 kinds of music."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from allin1_train.music.harmony import BLUES, DARK, EPIC, FOLK, JAZZ, POP, POWER, VAMP

Metre = tuple[int, int]
FOUR, FOUR_TRIPLE, THREE, TWO = (4, 4), (4, 3), (3, 4), (2, 4)
SIX_EIGHT, FIVE, SEVEN = (2, 3), (5, 4), (7, 4)

#: General MIDI programs by family.
PROGRAMS: Mapping[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3),
    "ep": (4, 5),
    "clav": (7,),
    "organ": (16, 17, 18, 19),
    "accordion": (21, 22),
    "nylon": (24,),
    "steel": (25, 24),
    "clean": (26, 27),
    "muted": (28, 27),
    "drive": (29, 30),
    "abass": (32,),
    "ebass": (33, 34, 33, 35),
    "slap": (36, 37),
    "sbass": (38, 39),
    "strings": (48, 49, 50, 51),
    "bow": (40, 41, 42, 44),
    "solo_str": (40, 110),
    "cello": (42, 43),
    "pizz": (45, 46),
    "choir": (52, 53, 54),
    "brass": (61, 62, 56, 57),
    "sax": (65, 66, 64, 67),
    "wind": (73, 68, 71, 74, 75, 72),
    "mallet": (12, 11, 13, 9, 10, 108, 114),
    "lead": (80, 81, 84, 82, 87),
    "pad": (88, 89, 90, 91, 92, 94, 95),
    "banjo": (105, 104, 106, 107),
    "trumpet": (56, 59, 60),
    "harp": (46,),
}


class Part(NamedTuple):
    """An accompanying instrument: sounds and styles to draw from, and the minimum energy for which it plays."""

    role: str
    sounds: str
    styles: str
    start: float
    probability: float


@dataclass(frozen=True)
class Genre:
    """A set of musical parameters.

    Attributes
    ----------
    weight
        Relative frequency of the genre.
    bpm, spread
        Median tempo and standard deviation of its logarithm.
    metres
        Weights of (beats in a bar, subdivisions of a beat).
    progressions
        Chord progressions to draw from.
    grooves, kits
        Drum patterns and kits (``s``: synthesised, ``c``: chip noise, ``gmN``: bank of the SoundFont).
    bass
        Sounds and styles. A sound is a family of `PROGRAMS`, or ``s:`` and a synthesiser patch.
    parts, leads
        Accompaniment and melody instruments.
    voice
        Probability of a singer.
    forms
        Name of the row of forms.
    human
        Standard deviation of the timing, seconds.
    swing8, swing16
        Position of the second eighth in a beat (0: even); probability of swung sixteenths.
    electronic
        Whether it has risers, build-ups and breakdowns.
    pump
        Probability of side-chain ducking.
    gate
        Probability that sustained parts are chopped by a gate.
    """

    weight: float
    bpm: float
    spread: float
    metres: Mapping[Metre, float]
    progressions: list[str]
    grooves: str
    kits: str
    bass: tuple[str, str]
    parts: tuple[Part, ...]
    leads: str
    voice: float
    forms: str
    human: float
    swing8: float = 0.0
    swing16: float = 0.0
    electronic: bool = False
    pump: float = 0.0
    gate: float = 0.0


GENRES: Mapping[str, Genre] = {
    "rock": Genre(
        10,
        120,
        0.2,
        {FOUR: 9, FOUR_TRIPLE: 1, SIX_EIGHT: 0.5, THREE: 0.5},
        POP + DARK,
        grooves="rock rock half double toms",
        kits="gm0 gm8 gm16 s",
        bass=("ebass ebass s:saw", "eighths kick root quarters"),
        parts=(
            Part("gtr", "drive clean", "power strum eighths", 0.35, 0.95),
            Part("gtr2", "clean drive steel", "arp strum sustain riff", 0.1, 0.8),
            Part("keys", "organ piano s:pad strings", "sustain quarters", 0.6, 0.5),
        ),
        leads="drive lead s:lead",
        voice=0.85,
        forms="pop",
        human=0.008,
    ),
    "ballad": Genre(
        7,
        78,
        0.17,
        {FOUR: 7, FOUR_TRIPLE: 2, SIX_EIGHT: 2, THREE: 2},
        POP,
        grooves="ballad rock half",
        kits="gm0 gm8 s",
        bass=("ebass abass s:sub", "root root kick pedal"),
        parts=(
            Part("keys", "piano piano ep steel", "arp quarters sustain strum broken", 0, 1),
            Part("pad", "strings s:pad pad choir", "sustain", 0.35, 0.9),
            Part("gtr", "clean steel nylon", "arp strum", 0.5, 0.6),
        ),
        leads="sax drive solo_str wind piano",
        voice=0.9,
        forms="pop",
        human=0.012,
    ),
    "pop": Genre(
        11,
        112,
        0.17,
        {FOUR: 12, FOUR_TRIPLE: 1},
        POP + DARK[:4],
        grooves="four rock pop half",
        kits="s s gm0 gm24 gm25",
        bass=("s:saw ebass s:sub sbass", "kick eighths root octave"),
        parts=(
            Part("keys", "s:pluck ep piano s:saw", "arp stabs sustain eighths", 0.2, 0.9),
            Part("pad", "s:pad pad strings", "sustain", 0.3, 0.8),
            Part("gtr", "muted clean steel", "arp riff strum offbeat", 0.45, 0.6),
        ),
        leads="s:lead lead s:bell",
        voice=0.93,
        forms="pop",
        human=0.005,
        swing16=0.1,
        pump=0.3,
    ),
    "house": Genre(
        10,
        124,
        0.05,
        {FOUR: 1},
        DARK + VAMP + POP[:6],
        grooves="four four fourbreak",
        kits="s s gm25",
        bass=("s:saw s:sub s:fm", "offbeat octave sixteenths kick root dotted"),
        parts=(
            Part("stab", "s:saw s:pluck s:organ piano", "stabs syncop offbeat", 0.3, 0.9),
            Part("pad", "s:pad s:supersaw", "sustain", 0.05, 0.8),
            Part("arp", "s:pluck s:bell s:saw", "arp16 riff", 0.45, 0.8),
        ),
        leads="s:lead s:supersaw",
        voice=0.5,
        forms="edm",
        human=0.001,
        swing16=0.25,
        electronic=True,
        pump=0.75,
        gate=0.2,
    ),
    "trance": Genre(
        6,
        136,
        0.04,
        {FOUR: 1},
        DARK + POP[:6],
        grooves="four fourroll",
        kits="s",
        bass=("s:saw s:fm", "gallop offbeat sixteenths dotted"),
        parts=(
            Part("arp", "s:supersaw s:pluck", "arp16 arp", 0.3, 0.95),
            Part("pad", "s:pad s:supersaw", "sustain", 0.05, 0.9),
            Part("stab", "s:supersaw", "stabs gate", 0.65, 0.8),
        ),
        leads="s:supersaw s:lead",
        voice=0.3,
        forms="edm",
        human=0.001,
        electronic=True,
        pump=0.75,
        gate=0.5,
    ),
    "techno": Genre(
        6,
        130,
        0.06,
        {FOUR: 1},
        VAMP,
        grooves="four fourroll fourbreak",
        kits="s",
        bass=("s:fm s:sub s:saw", "sixteenths offbeat gallop pedal dotted"),
        parts=(
            Part("stab", "s:fm s:saw s:bell", "syncop riff", 0.3, 0.8),
            Part("pad", "s:pad", "sustain", 0.1, 0.6),
            Part("arp", "s:pluck s:fm", "arp16 riff", 0.5, 0.7),
        ),
        leads="s:fm s:lead",
        voice=0.1,
        forms="techno",
        human=0.001,
        swing16=0.1,
        electronic=True,
        pump=0.6,
        gate=0.2,
    ),
    "dnb": Genre(
        3,
        172,
        0.04,
        {FOUR: 1},
        DARK + VAMP,
        grooves="dnb dnb break",
        kits="s s gm24",
        bass=("s:saw s:sub s:fm", "root syncop long kick"),
        parts=(
            Part("pad", "s:pad pad", "sustain", 0.05, 0.9),
            Part("stab", "s:pluck ep s:bell", "syncop stabs arp", 0.35, 0.7),
        ),
        leads="s:lead s:saw",
        voice=0.5,
        forms="edm",
        human=0.002,
        swing16=0.1,
        electronic=True,
        pump=0.4,
        gate=0.15,
    ),
    "hiphop": Genre(
        6,
        90,
        0.12,
        {FOUR: 1},
        DARK + VAMP + JAZZ[:3],
        grooves="boombap boombap trap",
        kits="s gm25 gm0",
        bass=("s:808 s:sub ebass", "kick long syncop"),
        parts=(
            Part("keys", "ep piano s:bell mallet nylon", "riff arp sustain broken", 0.1, 1),
            Part("pad", "strings s:pad choir", "sustain", 0.4, 0.6),
        ),
        leads="s:lead wind s:bell",
        voice=0.85,
        forms="pop",
        human=0.01,
        swing16=0.6,
        pump=0.1,
    ),
    "trap": Genre(
        3,
        142,
        0.08,
        {FOUR: 1},
        DARK,
        grooves="trap trap traphalf",
        kits="s",
        bass=("s:808", "kick long"),
        parts=(
            Part("keys", "s:bell s:pluck piano mallet nylon wind", "riff arp broken", 0.1, 1),
            Part("pad", "choir s:pad strings", "sustain", 0.4, 0.7),
        ),
        leads="s:lead s:bell",
        voice=0.85,
        forms="pop",
        human=0.004,
        pump=0.2,
        gate=0.1,
    ),
    "funk": Genre(
        5,
        106,
        0.1,
        {FOUR: 1},
        VAMP + JAZZ[:3],
        grooves="funk funk disco",
        kits="gm0 gm8 s",
        bass=("slap ebass s:saw", "funk funk octave"),
        parts=(
            Part("gtr", "muted clean", "chank syncop", 0.2, 0.95),
            Part("keys", "clav ep organ", "syncop stabs sustain", 0.3, 0.8),
            Part("horns", "brass sax", "stabs syncop", 0.6, 0.7),
        ),
        leads="sax trumpet organ drive",
        voice=0.7,
        forms="pop",
        human=0.007,
        swing16=0.3,
    ),
    "disco": Genre(
        4,
        118,
        0.06,
        {FOUR: 1},
        DARK + POP,
        grooves="disco four",
        kits="gm0 s gm24",
        bass=("ebass s:saw slap", "octave octave eighths"),
        parts=(
            Part("gtr", "muted clean", "chank offbeat", 0.3, 0.8),
            Part("strings", "strings s:pad", "sustain stabs", 0.4, 0.9),
            Part("keys", "piano ep clav", "stabs syncop quarters", 0.2, 0.9),
        ),
        leads="strings brass s:lead",
        voice=0.85,
        forms="pop",
        human=0.004,
        pump=0.15,
    ),
    "reggae": Genre(
        4,
        76,
        0.1,
        {FOUR: 2, FOUR_TRIPLE: 1},
        FOLK + DARK[:4] + POP[:5],
        grooves="onedrop steppers rockers",
        kits="gm0 gm8",
        bass=("ebass s:sub", "reggae reggae root"),
        parts=(
            Part("skank", "muted clean piano", "offbeat", 0.1, 1),
            Part("organ", "organ", "bubble sustain", 0.3, 0.8),
            Part("horns", "brass", "stabs", 0.7, 0.4),
        ),
        leads="brass wind organ",
        voice=0.85,
        forms="pop",
        human=0.009,
        swing16=0.3,
    ),
    "latin": Genre(
        5,
        100,
        0.15,
        {FOUR: 1},
        FOLK + DARK + JAZZ[:4],
        grooves="salsa bossa samba reggaeton",
        kits="gm0 gm8",
        bass=("abass ebass", "tumbao tumbao root"),
        parts=(
            Part("keys", "piano nylon", "montuno strum bossa", 0.1, 1),
            Part("horns", "brass trumpet", "stabs syncop", 0.6, 0.7),
            Part("pad", "strings", "sustain", 0.5, 0.3),
        ),
        leads="trumpet wind nylon piano",
        voice=0.75,
        forms="pop",
        human=0.008,
    ),
    "jazz": Genre(
        6,
        140,
        0.28,
        {FOUR: 6, THREE: 1.5, FIVE: 0.4},
        JAZZ + BLUES,
        grooves="ride ride brushes",
        kits="gm32 gm40 gm0",
        bass=("abass", "walking walking twofeel"),
        parts=(
            Part("keys", "piano piano clean ep", "charleston comp sustain", 0.05, 0.95),
            Part("horns", "sax", "stabs", 0.7, 0.15),
        ),
        leads="sax trumpet piano clean mallet",
        voice=0.3,
        forms="jazz",
        human=0.012,
        swing8=0.64,
    ),
    "swing": Genre(
        3,
        150,
        0.2,
        {FOUR: 1},
        JAZZ + BLUES,
        grooves="ride swing",
        kits="gm32 gm0",
        bass=("abass", "walking twofeel"),
        parts=(
            Part("keys", "piano clean", "quarters charleston", 0.1, 0.9),
            Part("horns", "brass sax", "stabs syncop sustain", 0.4, 0.9),
        ),
        leads="sax trumpet brass",
        voice=0.6,
        forms="pop",
        human=0.01,
        swing8=0.66,
    ),
    "blues": Genre(
        4,
        92,
        0.25,
        {FOUR_TRIPLE: 3, FOUR: 2, SIX_EIGHT: 0.3},
        BLUES,
        grooves="shuffle rock ballad",
        kits="gm0 gm8",
        bass=("ebass abass", "boogie walking root"),
        parts=(
            Part("gtr", "clean drive steel", "boogie strum comp", 0.1, 0.95),
            Part("keys", "organ piano", "sustain charleston", 0.3, 0.7),
        ),
        leads="drive wind sax",
        voice=0.8,
        forms="jazz",
        human=0.012,
        swing8=0.3,
    ),
    "country": Genre(
        6,
        112,
        0.22,
        {FOUR: 5, THREE: 2, TWO: 2},
        FOLK + POP[:6],
        grooves="train rock boomchick",
        kits="gm0 gm8",
        bass=("ebass abass", "fifths fifths root"),
        parts=(
            Part("gtr", "steel", "strum boomchick broken", 0.05, 1),
            Part("gtr2", "clean banjo", "arp riff", 0.4, 0.7),
            Part("fiddle", "solo_str accordion", "sustain", 0.55, 0.5),
        ),
        leads="solo_str banjo clean",
        voice=0.9,
        forms="pop",
        human=0.01,
        swing8=0.1,
    ),
    "metal": Genre(
        5,
        138,
        0.22,
        {FOUR: 8, THREE: 1, SIX_EIGHT: 1, FIVE: 0.5, SEVEN: 0.7},
        POWER + DARK,
        grooves="metal metal double half blast",
        kits="gm16 gm0 s",
        bass=("ebass s:saw", "kick eighths sixteenths"),
        parts=(
            Part("gtr", "drive", "power chug gallop", 0.2, 1),
            Part("gtr2", "drive clean", "riff sustain arp", 0.4, 0.9),
            Part("keys", "choir s:pad strings", "sustain", 0.7, 0.3),
        ),
        leads="drive s:lead",
        voice=0.75,
        forms="pop",
        human=0.004,
    ),
    "folk": Genre(
        8,
        104,
        0.25,
        {FOUR: 4, THREE: 3, SIX_EIGHT: 2, TWO: 1},
        FOLK + POP[:8],
        grooves="none none brushes shaker",
        kits="gm40 gm0",
        bass=("abass ebass", "none root fifths"),
        parts=(
            Part("gtr", "steel nylon", "strum finger broken arp", 0, 1),
            Part("gtr2", "nylon banjo harp piano", "finger arp riff", 0.5, 0.5),
            Part("strings", "bow cello", "sustain", 0.6, 0.35),
        ),
        leads="wind solo_str accordion banjo",
        voice=0.8,
        forms="folk",
        human=0.014,
    ),
    "waltz": Genre(
        3,
        132,
        0.25,
        {THREE: 1},
        FOLK + JAZZ[:2] + DARK[:4],
        grooves="none waltz waltz",
        kits="gm0 gm40",
        bass=("abass cello", "downbeat downbeat root"),
        parts=(
            Part("keys", "piano accordion strings", "oompah broken", 0, 1),
            Part("strings", "strings bow", "sustain arp", 0.4, 0.8),
        ),
        leads="bow wind accordion",
        voice=0.3,
        forms="classical",
        human=0.014,
    ),
    "polka": Genre(
        2,
        118,
        0.1,
        {TWO: 3, FOUR: 1},
        FOLK,
        grooves="polka march",
        kits="gm0",
        bass=("abass ebass", "fifths"),
        parts=(
            Part("keys", "accordion brass", "offbeat", 0, 1),
            Part("horns", "brass wind", "stabs", 0.5, 0.7),
        ),
        leads="accordion wind trumpet",
        voice=0.4,
        forms="folk",
        human=0.008,
    ),
    "piano": Genre(
        7,
        86,
        0.28,
        {FOUR: 5, THREE: 3, SIX_EIGHT: 2, FOUR_TRIPLE: 1},
        POP + DARK + JAZZ,
        grooves="none",
        kits="gm0",
        bass=("none", "none"),
        parts=(
            Part("lh", "piano", "broken arp alberti oompah quarters", 0, 1),
            Part("rh", "piano", "sustain quarters arp", 0.5, 0.6),
        ),
        leads="piano",
        voice=0.25,
        forms="classical",
        human=0.016,
    ),
    "chamber": Genre(
        6,
        96,
        0.28,
        {FOUR: 5, THREE: 3, TWO: 1, SIX_EIGHT: 1, FIVE: 0.3},
        FOLK + DARK + POP,
        grooves="none",
        kits="gm0",
        bass=("cello cello abass", "root quarters eighths fifths"),
        parts=(
            Part("va", "bow strings pizz", "eighths arp sustain quarters alberti", 0, 1),
            Part("vn2", "bow wind strings", "sustain arp stabs", 0.3, 0.8),
            Part("hp", "harp piano", "arp broken", 0.5, 0.4),
        ),
        leads="bow wind",
        voice=0.08,
        forms="classical",
        human=0.014,
    ),
    "ambient": Genre(
        4,
        84,
        0.22,
        {FOUR: 5, THREE: 1, SIX_EIGHT: 1},
        VAMP + POP + DARK,
        grooves="none none shaker half",
        kits="s",
        bass=("s:sub s:pad", "long pedal root"),
        parts=(
            Part("pad", "s:pad pad choir strings", "sustain", 0, 1),
            Part("arp", "s:bell s:pluck mallet harp ep", "arp broken riff", 0.25, 0.9),
            Part("pad2", "s:supersaw strings", "sustain", 0.5, 0.6),
        ),
        leads="s:bell s:lead wind piano",
        voice=0.2,
        forms="techno",
        human=0.006,
        pump=0.1,
        gate=0.25,
    ),
    "indie": Genre(
        5,
        124,
        0.18,
        {FOUR: 8, THREE: 1, SIX_EIGHT: 1, SEVEN: 0.3, FIVE: 0.3},
        POP + DARK,
        grooves="rock toms four half double",
        kits="gm0 s gm8",
        bass=("ebass s:saw", "eighths kick root"),
        parts=(
            Part("gtr", "clean drive muted", "arp strum eighths riff", 0.15, 1),
            Part("keys", "s:pluck organ s:saw piano", "eighths arp sustain", 0.4, 0.7),
            Part("pad", "s:pad strings", "sustain", 0.5, 0.5),
        ),
        leads="s:lead lead clean",
        voice=0.85,
        forms="pop",
        human=0.008,
        pump=0.05,
    ),
    # more electronic music, in which the beat is often carried by gates and arpeggios
    "progressive": Genre(
        11,
        128,
        0.035,
        {FOUR: 1},
        DARK + POP[:8] + VAMP,
        grooves="four house house fourbreak",
        kits="s",
        bass=("s:saw s:fm s:sub", "offbeat sixteenths octave gallop riffbass dotted syncop"),
        parts=(
            Part("pad", "s:pad s:supersaw s:pad pad strings", "sustain sustain gate", 0, 1),
            Part("arp", "s:pluck s:bell s:saw s:lead", "arp16 arp riff trill", 0.05, 0.95),
            Part(
                "keys", "piano s:pluck ep s:organ", "quarters stabs arp offbeat eighths", 0.2, 0.7
            ),
            Part("stab", "s:supersaw s:saw", "stabs gate syncop", 0.6, 0.8),
        ),
        leads="s:lead s:supersaw s:bell s:saw",
        voice=0.2,
        forms="edm",
        human=0.0005,
        electronic=True,
        pump=0.8,
        gate=0.5,
    ),
    "electro": Genre(
        6,
        118,
        0.09,
        {FOUR: 1},
        DARK + VAMP + POP[:6],
        grooves="break electro four fourbreak half",
        kits="s s gm25 gm24",
        bass=("s:saw s:fm s:sub", "syncop riffbass eighths octave sixteenths dotted"),
        parts=(
            Part("arp", "s:pluck s:fm s:saw", "arp16 riff arp", 0.1, 0.9),
            Part("pad", "s:pad s:supersaw strings", "sustain gate", 0.05, 0.9),
            Part("stab", "s:fm s:saw s:bell", "stabs syncop", 0.5, 0.6),
        ),
        leads="s:lead s:saw s:fm lead",
        voice=0.35,
        forms="edm",
        human=0.001,
        swing16=0.1,
        electronic=True,
        pump=0.45,
        gate=0.35,
    ),
    "synthwave": Genre(
        5,
        104,
        0.13,
        {FOUR: 1},
        DARK + POP[:10],
        grooves="rock pop four half",
        kits="s s gm24 gm16",
        bass=("s:saw s:saw sbass", "eighths sixteenths octave gallop"),
        parts=(
            Part("arp", "s:pluck s:saw s:lead", "arp16 arp", 0.05, 0.95),
            Part("pad", "s:pad s:supersaw pad", "sustain", 0, 1),
            Part("keys", "ep s:bell s:pluck", "stabs quarters riff", 0.4, 0.6),
        ),
        leads="s:lead s:supersaw lead drive",
        voice=0.45,
        forms="pop",
        human=0.002,
        electronic=True,
        pump=0.4,
        gate=0.15,
    ),
    "chill": Genre(
        5,
        98,
        0.13,
        {FOUR: 6, THREE: 0.4},
        VAMP + POP + JAZZ[:3],
        grooves="boombap half electro four none",
        kits="s s gm25 gm0",
        bass=("s:sub s:saw ebass", "long root syncop kick"),
        parts=(
            Part("keys", "ep piano s:bell mallet", "arp riff quarters broken charleston", 0, 1),
            Part("pad", "s:pad pad strings choir", "sustain gate", 0, 0.9),
            Part("arp", "s:pluck s:bell harp nylon", "arp16 arp riff", 0.3, 0.7),
        ),
        leads="s:bell s:lead wind mallet",
        voice=0.3,
        forms="edm",
        human=0.004,
        swing16=0.35,
        electronic=True,
        pump=0.4,
        gate=0.2,
    ),
    # music of games
    "chiptune": Genre(
        4,
        136,
        0.2,
        {FOUR: 10, THREE: 1, TWO: 1},
        DARK + POP + POWER,
        grooves="chip chip rock four none",
        kits="c",
        bass=("s:chipbass s:chipbass s:chip", "eighths octave quarters gallop riffbass sixteenths"),
        parts=(
            Part("arp", "s:chip", "trill trill arp16 arp", 0.1, 0.95),
            Part("keys", "s:chip", "riff eighths offbeat stabs", 0.4, 0.7),
        ),
        leads="s:chip",
        voice=0,
        forms="game",
        human=0.0002,
    ),
    "game": Genre(
        5,
        122,
        0.2,
        {FOUR: 10, THREE: 2, SIX_EIGHT: 1, FOUR_TRIPLE: 1, TWO: 1},
        FOLK + DARK + POP + POWER[:2],
        grooves="rock pop four march salsa none waltz",
        kits="gm0 gm8 gm24 gm25 s",
        bass=("ebass sbass slap abass s:saw", "eighths octave quarters fifths syncop root walking"),
        parts=(
            Part(
                "keys",
                "piano mallet organ ep harp",
                "arp stabs quarters offbeat montuno",
                0.1,
                0.95,
            ),
            Part("strings", "strings pad choir s:pad", "sustain eighths", 0.1, 0.8),
            Part("gtr", "clean drive muted nylon", "riff arp chank power", 0.4, 0.6),
            Part("horns", "brass wind", "stabs sustain", 0.6, 0.6),
        ),
        leads="wind trumpet s:lead lead mallet bow accordion",
        voice=0.02,
        forms="game",
        human=0.004,
    ),
    "orchestral": Genre(
        5,
        112,
        0.24,
        {FOUR: 8, THREE: 3, SIX_EIGHT: 2, TWO: 1, FIVE: 0.3},
        EPIC + DARK + FOLK[:4],
        grooves="timpani timpani march none none toms",
        kits="gm48 gm48 gm0",
        bass=("cello abass strings", "root eighths quarters downbeat fifths"),
        parts=(
            Part("vn", "strings strings pizz", "eighths arp sustain ostinato quarters", 0, 1),
            Part("va", "strings bow choir", "sustain", 0.1, 0.8),
            Part("horns", "brass", "sustain stabs quarters", 0.5, 0.85),
            Part("hp", "harp piano mallet", "arp broken", 0.1, 0.5),
            Part("winds", "wind", "arp eighths stabs", 0.4, 0.5),
        ),
        leads="strings trumpet wind bow brass",
        voice=0.06,
        forms="classical",
        human=0.012,
    ),
}
