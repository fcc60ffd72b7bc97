"""A synthesised song for trying out all features without any music.

It has four stems in 4/4: drums, bass, broken chords, and a voice that sings vowels. It consists of an intro, two
verses, two choruses and an outro, and comes with the true beats and sections.
"""

from __future__ import annotations

import json
import math
import os
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.errors import OutputError
from allin1_core.io.atomic import atomic_path

Signal = NDArray[np.float64]

#: Position in the bar in eighth notes, gain, and sound.
Stroke = tuple[float, float, Signal]

#: Sections with their lengths in bars. Boundaries less than 12 s apart cannot both be found (see
#: :mod:`allin1_core.reference.functional`), so eight bars: 16 s at 120 beats per minute.
FORM = (("intro", 8), ("verse", 8), ("chorus", 8), ("verse", 8), ("chorus", 8), ("outro", 4))

_BEATS_PER_BAR = 4

#: Chords as semitones above C3, a bar each; four bars make a phrase.
_CHORDS = {
    "verse": ((9, 12, 16), (5, 9, 12), (0, 4, 7), (7, 11, 14)),
    "chorus": ((0, 4, 7), (7, 11, 14), (9, 12, 16), (5, 9, 12)),
}

#: Melodies: for each bar, pairs of an eighth note's position and a degree of the chord.
_MELODIES = {
    "verse": (
        ((0, 0), (3, 1), (4, 2)),
        ((0, 2), (2, 1), (6, 0)),
        ((0, 1), (3, 2)),
        ((0, 0), (4, 1)),
    ),
    "chorus": (((0, 2), (2, 2), (4, 1), (6, 2)), ((0, 1), (3, 2), (6, 1))) * 2,
}

#: Centres of the first three formants in Hz, for a, o and e.
_VOWELS = ((800.0, 1150.0, 2900.0), (450.0, 800.0, 2830.0), (400.0, 1700.0, 2600.0))


class _Kit(NamedTuple):
    kick: Signal
    snare: Signal
    hat: Signal
    crash: Signal


def write_demo(
    folder: str | os.PathLike[str], *, seed: int = 0, bpm: float = 120.0, overwrite: bool = False
) -> Path:
    """Write the song, its stems, and its ground truth.

    ``song.wav`` is the mix: mono, 16 bit, and exactly the sum of ``stems/bass.wav``, ``drums.wav``, ``other.wav`` and
    ``vocals.wav``. ``truth.json`` has the keys ``bpm``, ``beats``, ``downbeats``, ``beat_positions`` and ``segments``
    of a result.

    Parameters
    ----------
    folder
        Output folder; created if it is missing.
    seed
        Seed of the noise in the drums and of the small differences between strokes.
    bpm
        Tempo in beats per minute, from 40 to 240. The song has 176 beats, which take 88 seconds at 120, and rings out
        for one more second.
    overwrite
        Replace files of these names.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        A file of one of these names exists, or cannot be written.
        ValueError
            `bpm` is out of range.
    """
    if not 40 <= bpm <= 240:
        raise ValueError(f"bpm is {bpm}; wanted 40 to 240.")
    folder = Path(folder)
    files = demo_files(folder)
    existing = [path for path in files if path.exists()]
    if existing and not overwrite:
        raise OutputError(
            "exists already.",
            remedy="Allow overwriting, or choose another folder.",
            path=existing[0],
        )
    song, *stem_files, truth = files
    stems = _to_16_bit(_synthesise(np.random.default_rng(seed), bpm))
    for path, samples in zip([*stem_files, song], [*stems, stems.sum(axis=0)], strict=True):
        _write_wav(path, samples)
    with atomic_path(truth) as path:
        path.write_text(json.dumps(_truth(bpm), indent=2) + "\n", encoding="utf-8")
    return folder


def demo_files(folder: Path) -> list[Path]:
    """The files that :func:`write_demo` writes: the mix, the stems in order, and the ground truth."""
    stems = (folder / "stems" / f"{name}.wav" for name in STEMS)
    return [folder / "song.wav", *stems, folder / "truth.json"]


def _truth(bpm: float) -> dict[str, object]:
    beat_s = 60 / bpm
    bars = sum(length for _, length in FORM)
    ends = np.cumsum([length for _, length in FORM]) * _BEATS_PER_BAR * beat_s
    beats = [round(beat * beat_s, 6) for beat in range(bars * _BEATS_PER_BAR)]
    return {
        "bpm": bpm,
        "beats": beats,
        "downbeats": beats[::_BEATS_PER_BAR],
        "beat_positions": [1 + beat % _BEATS_PER_BAR for beat in range(len(beats))],
        "segments": [
            {"start": round(start, 6), "end": round(end, 6), "label": label}
            for (label, _), start, end in zip(
                FORM, [0.0, *ends.tolist()], ends.tolist(), strict=False
            )
        ],
    }


def _synthesise(rng: np.random.Generator, bpm: float) -> Signal:
    """The stems, float64 ``[4, n]`` in the order of :data:`STEMS`, with arbitrary gain."""
    eighth_s = 30 / bpm
    bars = [(label, bar) for label, length in FORM for bar in range(length)]
    # One second for the last notes to ring out.
    stems = np.zeros((len(STEMS), round((len(bars) * 8 * eighth_s + 1) * SAMPLE_RATE)))
    kit = _Kit(_kick(), _snare(rng), _cymbal(rng, 0.05, 0.012), _cymbal(rng, 1.6, 0.4))
    for number, (label, bar) in enumerate(bars):
        played = (
            _bass(label, bar, eighth_s),
            _drums(label, bar, kit, rng),
            _chords(label, bar, eighth_s),
            _voice(label, bar, eighth_s),
        )
        for stem, strokes in zip(stems, played, strict=True):
            for eighth, gain, sound in strokes:
                start = round((number * 8 + eighth) * eighth_s * SAMPLE_RATE)
                stem[start : start + len(sound)] += gain * sound[: len(stem) - start]
    return stems


def _sparse(label: str, bar: int) -> bool:
    """Whether bass and snare are still silent."""
    return label == "intro" and bar < 4


def _chord(label: str, bar: int) -> tuple[int, ...]:
    chords = _CHORDS["chorus" if label == "chorus" else "verse"]
    return chords[bar % len(chords)]


def _bass(label: str, bar: int, eighth_s: float) -> Iterator[Stroke]:
    """The root on the beats, and the fifth at the end of the bar; eighth notes throughout in the chorus."""
    if _sparse(label, bar):
        return
    root = _chord(label, bar)[0] - 12
    step, length_s = (1, 0.9 * eighth_s) if label == "chorus" else (2, 1.7 * eighth_s)
    for eighth in range(0, 8, step):
        pitch = _hz(root + (7 if eighth + step == 8 else 0))
        yield eighth, 0.75 if eighth == 0 else 0.6, _pluck(pitch, length_s, 9, 2.5)


def _drums(label: str, bar: int, kit: _Kit, rng: np.random.Generator) -> Iterator[Stroke]:
    if bar == 0 and label != "intro":
        yield 0, 0.5, kit.crash
    for eighth in range(8):
        yield eighth, (0.32, 0.18)[eighth % 2] * rng.uniform(0.85, 1.15), kit.hat
    for eighth in (0, 4, 5) if label == "chorus" else (0, 4):
        yield eighth, rng.uniform(0.95, 1.05), kit.kick
    if not _sparse(label, bar):
        for eighth in (2, 6):
            yield eighth, rng.uniform(0.75, 0.85), kit.snare
    if bar == 7:
        # A fill leads into the next section.
        for late, gain in ((6.5, 0.4), (7, 0.45), (7.5, 0.5)):
            yield late, gain, kit.snare


def _chords(label: str, bar: int, eighth_s: float) -> Iterator[Stroke]:
    """The chord on the first beat, then broken."""
    chord = _chord(label, bar)
    for note in chord:
        gain = 0.3 if label == "chorus" else 0.2
        yield 0, gain, _pluck(_hz(note), 8 * eighth_s, 14, 1.2)
    for eighth, degree in enumerate((0, 1, 2, 1, 0, 2, 1, 2)):
        yield eighth, 0.22, _pluck(_hz(chord[degree] + 12), 2 * eighth_s, 12, 4)


def _voice(label: str, bar: int, eighth_s: float) -> Iterator[Stroke]:
    if label not in _MELODIES:
        return
    chord = _chord(label, bar)
    notes = _MELODIES[label][bar % len(_MELODIES[label])]
    ends = [*(eighth for eighth, _ in notes[1:]), 8]
    octave, gain = (12, 0.5) if label == "chorus" else (0, 0.4)
    for index, ((eighth, degree), end) in enumerate(zip(notes, ends, strict=True)):
        vowel = _VOWELS[(bar + index) % len(_VOWELS)]
        length_s = 0.95 * (end - eighth) * eighth_s
        yield eighth, gain, _sing(_hz(chord[degree] + octave), length_s, vowel)


def _to_16_bit(stems: Signal) -> NDArray[np.int16]:
    """Scale so that the loudest sample of any stem, and of their sum, is at 90 % of full scale."""
    peak = max(np.abs(stems).max(), np.abs(stems.sum(axis=0)).max())
    samples: NDArray[np.int16] = np.round(stems * (0.9 * 32_767 / peak)).astype(np.int16)
    return samples


def _write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def _hz(semitones_above_c3: int) -> float:
    return 130.8128 * 2 ** (semitones_above_c3 / 12)


def _times(seconds: float) -> Signal:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _fade(sound: Signal, attack_s: float = 0.003, release_s: float = 0.02) -> Signal:
    """Fade in and out, to avoid clicks."""
    t = _times(len(sound) / SAMPLE_RATE)
    envelope: Signal = np.minimum(1, t / attack_s) * np.minimum(1, (t[-1] - t) / release_s)
    return sound * envelope


def _harmonics(fundamental: NDArray[np.complex128], weights: Iterable[float]) -> Signal:
    """Sum of the weighted imaginary parts of the powers 1, 2, 3 …: sin(k x) without a sine for each k."""
    sound = np.zeros(len(fundamental))
    power = np.ones_like(fundamental)
    for weight in weights:
        power *= fundamental
        sound += weight * power.imag
    return sound


def _pluck(pitch: float, seconds: float, harmonics: int, decay: float) -> Signal:
    """A string: harmonics with amplitude 1/k, of which the higher ones decay faster."""
    t = _times(seconds)
    fundamental = np.exp((2j * np.pi * pitch - 0.4 * decay) * t)
    sound = _harmonics(fundamental, [1 / k for k in range(1, harmonics + 1)])
    return _fade(sound * np.exp(-decay * t))


def _sing(pitch: float, seconds: float, formants: tuple[float, ...]) -> Signal:
    """A vowel: harmonics weighted by the resonances of a throat, with vibrato."""
    t = _times(seconds)
    vibrato_hz = 5.5
    phase = 2 * np.pi * pitch * t + 0.08 * pitch / vibrato_hz * np.sin(2 * np.pi * vibrato_hz * t)
    weights = [
        (0.02 + sum(math.exp(-(((k * pitch - centre) / 180) ** 2)) for centre in formants)) / k**0.5
        for k in range(1, int(5000 / pitch))
    ]
    return _fade(_harmonics(np.exp(1j * phase), weights), attack_s=0.04, release_s=0.06)


def _kick() -> Signal:
    """A drum whose pitch falls from 160 to 48 Hz."""
    t = _times(0.3)
    phase = 2 * np.pi * (48 * t + (160 - 48) * 0.03 * (1 - np.exp(-t / 0.03)))
    return _fade(np.sin(phase) * np.exp(-t / 0.09), attack_s=0.001)


def _snare(rng: np.random.Generator) -> Signal:
    t = _times(0.2)
    skin = np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.04)
    return _fade(0.5 * skin + 0.4 * rng.standard_normal(len(t)) * np.exp(-t / 0.06), attack_s=0.001)


def _cymbal(rng: np.random.Generator, seconds: float, decay_s: float) -> Signal:
    """Noise without low frequencies."""
    t = _times(seconds)
    noise = np.diff(rng.standard_normal(len(t) + 2), n=2) / 4
    return _fade(noise * np.exp(-t / decay_s), attack_s=0.001)
