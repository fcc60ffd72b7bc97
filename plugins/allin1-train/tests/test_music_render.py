"""Rendered songs: samples depend only on the seed, levels are plausible, and audio matches the annotations."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from allin1_train.music import Song, SoundFont, compose, render
from allin1_train.music.audio import RATE, one_pole, steps
from allin1_train.music.drumkit import Kit
from allin1_train.music.effects import doubled, ducking, echo, hush, room
from allin1_train.music.mastering import coded, compress, normalise
from allin1_train.music.noise import sweeps
from allin1_train.music.score import Track
from allin1_train.music.synthesis import Patch
from allin1_train.music.transitions import DOWNLIFTER, IMPACT, REVERSED, RISER
from allin1_train.music.voice import Singer
from allin1_train.views import log_bands

PATCHES = [
    "pad",
    "supersaw",
    "pluck",
    "bell",
    "organ",
    "sub",
    "808",
    "fm",
    "lead",
    "saw",
    "chip",
    "chipbass",
]


def synthesised(count: int) -> list[Song]:
    """Return the first songs that need no SoundFont."""
    out: list[Song] = []
    seed = 0
    while len(out) < count:
        song = compose(seed)
        if not any(t.sound.startswith(("gm:", "kit:")) for t in song.tracks):
            out.append(song)
        seed += 1
    return out


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return synthesised(2)


@pytest.fixture(scope="module")
def heard(songs: list[Song]) -> list[np.ndarray]:
    return [render(song, None) for song in songs]


@pytest.fixture(scope="module")
def font() -> SoundFont:
    path = os.environ.get("ALLIN1_SOUNDFONT", "")
    if not Path(path).is_file():
        pytest.skip("needs a SoundFont: set ALLIN1_SOUNDFONT to FluidR3Mono_GM.sf3")
    return SoundFont(path)


def frequency(x: np.ndarray) -> float:
    """Return the strongest frequency of a signal."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 18))
    return float(spectrum.argmax() * RATE / (1 << 18))


def test_a_seed_always_gives_the_same_samples(songs: list[Song], heard: list[np.ndarray]) -> None:
    a = heard[0]
    b = render(compose(songs[0].seed), None)
    np.testing.assert_array_equal(a, b)
    assert a.dtype == np.float32
    assert a.shape == (2, int(songs[0].length * RATE))
    assert np.isfinite(a).all()
    assert 0.05 < np.abs(a).max() <= 1


def test_what_is_heard_fits_the_beats(songs: list[Song], heard: list[np.ndarray]) -> None:
    for song, mix in zip(songs, heard, strict=True):
        level = log_bands(mix.mean(0))
        rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0).sum(1)
        at = np.round(song.beats * 100).astype(int)
        at = at[(at > 3) & (at < len(rise) - 60)]
        between = at + int(37 * 60 / song.bpm)  # 37 % of the way to the next beat
        peak = [np.mean([rise[k - 2 : k + 4].max() for k in x]) for x in (at, between)]
        assert peak[0] > 1.5 * peak[1], song.genre


def test_silence_surrounds_the_music(songs: list[Song], heard: list[np.ndarray]) -> None:
    for song, mix in zip(songs, heard, strict=True):
        quiet = mix[:, : int(max(0, song.music[0] - 0.05) * RATE)]
        assert quiet.size == 0 or np.abs(quiet).max() < 0.02


def test_a_song_of_sampled_instruments_needs_a_soundfont(songs: list[Song]) -> None:
    songs[0].tracks.append(Track("keys", "gm:0", 0, 1, notes=np.array([[0.0, 1, 60, 0.5]])))
    try:
        with pytest.raises(ValueError, match="needs a SoundFont"):
            render(songs[0], None)
    finally:
        songs[0].tracks.pop()


def test_a_missing_soundfont_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"FluidR3Mono_GM\.sf3"):
        SoundFont(tmp_path / "none.sf3")


def test_sampled_notes_do_not_depend_on_what_sounded_before(font: SoundFont) -> None:
    font.select(48, False)
    alone = font.note(60, 0.4, 0.7, False)
    font.select(0, True)
    font.note(38, 0.1, 0.9, True)
    font.select(48, False)
    np.testing.assert_array_equal(font.note(60, 0.4, 0.7, False), alone)
    font.select(0, False)
    assert frequency(font.note(69, 0.5, 0.7, False)) == pytest.approx(440, rel=0.01)


def test_a_song_of_sampled_instruments_is_the_same_again(font: SoundFont) -> None:
    a, b = compose(12), compose(20)
    first = render(a, font)
    render(b, font)
    np.testing.assert_array_equal(render(a, font), first)


@pytest.mark.parametrize("kind", PATCHES)
def test_every_patch_sounds_and_ends_in_silence(kind: str) -> None:
    for seed in range(4):
        x = Patch(kind, random.Random(seed)).note(57, 0.5, 0.8)
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert np.abs(x).max() > 0.05
        assert abs(x[-1]) < 1e-3


@pytest.mark.parametrize("kind", ["organ", "sub", "chip", "chipbass"])
def test_patches_are_in_tune(kind: str) -> None:
    found = frequency(Patch(kind, random.Random(1)).note(69, 1.0, 0.8))
    ratio = found / 440
    assert ratio == pytest.approx(round(ratio), rel=0.01)
    assert round(ratio) >= 1


@pytest.mark.parametrize("chip", [False, True])
def test_every_key_of_the_kit_sounds(chip: bool) -> None:
    kit = Kit(random.Random(0), chip)
    for key in [*range(35, 60), 60, 63, 64, 66, 69, 70, 75, 76, 82]:
        x = kit.note(key, 0.8)
        assert np.isfinite(x).all()
        assert 0.02 < np.abs(x).max() < 4
        assert np.abs(x[: RATE // 50]).max() > 0.01 * np.abs(x).max()  # at once


def test_the_singer_sings_the_notes_in_their_time() -> None:
    notes = np.array([[0.5, 0.8, 57, 0.8], [2.5, 0.8, 64, 0.8]])
    x = Singer(random.Random(3)).sing(notes, 4 * RATE)
    loud = np.abs(x)
    assert loud[: RATE // 4].max() < 0.02 * loud.max()
    assert loud[int(0.7 * RATE) : RATE].max() > 0.2 * loud.max()
    assert loud[int(1.7 * RATE) : int(2.2 * RATE)].max() < 0.02 * loud.max()
    for start, hz in ((0.8, 220.0), (2.8, 329.6)):
        part = x[int(start * RATE) : int((start + 0.4) * RATE)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 17))
        comb = {
            f: spectrum[[round(k * f * (1 << 17) / RATE) for k in range(1, 6)]].sum()
            for f in np.arange(180.0, 400.0, 1)
        }
        assert max(comb, key=lambda f: comb[f]) == pytest.approx(hz, rel=0.04)


def test_effects_between_sections_rise_and_fall() -> None:
    def halves(kind: int) -> tuple[float, float]:
        x = sweeps(np.array([[0.0, 2.0, kind, 0.8]]), 2 * RATE, random.Random(0))
        return float(np.abs(x[:RATE]).mean()), float(np.abs(x[RATE:]).mean())

    for kind, rises in ((RISER, True), (REVERSED, True), (IMPACT, False), (DOWNLIFTER, False)):
        first, second = halves(kind)
        assert (second > 1.5 * first) == rises
        assert (first > 1.5 * second) == (not rises)


def test_a_gate_opens_and_closes() -> None:
    gate = steps(np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 1.0]]), 2 * RATE)
    assert gate[RATE // 4] == pytest.approx(1, abs=0.01)
    assert gate[3 * RATE // 4] == pytest.approx(0, abs=0.01)
    assert gate[3 * RATE // 2] == pytest.approx(1, abs=0.01)


def test_ducking_dips_at_its_times_and_recovers() -> None:
    for seed in range(8):
        gain = ducking(np.array([0.5, 1.0]), 2 * RATE, 0.5, random.Random(seed))
        assert np.isfinite(gain).all()
        assert gain[int(0.51 * RATE)] < gain[int(0.98 * RATE)]
        assert gain[RATE // 4] == pytest.approx(1)
        assert 0 <= gain.min() <= gain.max() <= 1.001


def test_echoes_repeat_at_their_distance() -> None:
    x = np.zeros(1000, np.float32)
    x[0] = 1
    echo(x, 100, 0.5)
    assert x[100] > 0.2
    assert x[150] == 0


def test_doubling_keeps_to_its_spans() -> None:
    x = np.sin(np.arange(4 * RATE) * 0.05).astype(np.float32)
    copy = doubled(x, np.array([[2.0, 3.0]]), random.Random(0))
    assert np.abs(copy[: int(1.9 * RATE)]).max() < 0.01
    assert np.abs(copy[int(2.2 * RATE) : int(2.8 * RATE)]).max() > 0.5


def test_rooms_have_unit_energy() -> None:
    for seed in range(4):
        np.testing.assert_allclose((room(random.Random(seed)) ** 2).sum(1), 1, rtol=1e-3)


def test_a_codec_keeps_the_music_but_not_the_highest_frequencies() -> None:
    g = np.random.default_rng(0)
    mix = (0.1 * g.standard_normal((2, RATE))).astype(np.float32)
    mix[:, :] += np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    heard = coded(mix, random.Random(0))
    assert heard.shape == mix.shape
    assert frequency(heard[0]) == pytest.approx(440, rel=0.01)
    spectrum = np.abs(np.fft.rfft(heard[0]))
    assert spectrum[20000:].mean() < 0.05 * np.abs(np.fft.rfft(mix[0]))[20000:].mean()
    error = heard - mix
    assert 0 < (error**2).mean() < 0.1 * (mix**2).mean()
    mono = np.stack([mix[0], mix[0]])
    same = coded(mono, random.Random(0))
    np.testing.assert_array_equal(same[0], same[1])


def test_compression_narrows_the_range_of_levels() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32)
    x[:, : 2 * RATE] *= 0.05
    y = compress(x.copy(), random.Random(0))

    def ratio(z: np.ndarray) -> float:
        return float(np.abs(z[:, 3 * RATE :]).mean() / np.abs(z[:, RATE : 3 * RATE // 2]).mean())

    assert 1 < ratio(y) < 0.8 * ratio(x)


def test_loudness_stays_in_bounds() -> None:
    x = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32) * 7
    for seed in range(12):
        y = np.clip(normalise(x.copy(), random.Random(seed)), -1, 1)
        assert 0.02 < np.sqrt((y**2).mean()) < 0.9


def test_filters_pass_their_side() -> None:
    t = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) for f in (50, 8000))
    assert np.abs(one_pole(low, 500)[RATE // 2 :]).max() > 0.9
    assert np.abs(one_pole(high, 500)[RATE // 2 :]).max() < 0.1
    assert np.abs(one_pole(high, 500, True)[RATE // 2 :]).max() > 0.9


def test_a_hush_lowers_the_level_between_its_edges() -> None:
    mix = np.ones((2, 4 * RATE), np.float32)
    hush(mix, np.array([[1.0, 3.0, 0.1, 0.5], [3.5, 9.0, 0.0, 0.01]]))
    level = mix[:, :: RATE // 100]
    np.testing.assert_array_equal(level[:, :100], 1)
    np.testing.assert_allclose(level[:, 155:245], 0.1, atol=1e-6)
    np.testing.assert_allclose(level[:, 125], 0.55, atol=0.01)
    np.testing.assert_array_equal(level[:, 305:350], 1)
    assert level[:, 355:395].max() < 1e-6
