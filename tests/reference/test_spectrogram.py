from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.spectrogram import frame_count
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference.filterbank import filterbank, window
from allin1_core.reference.spectrogram import create

RATE = 44_100

#: Bins of the corners of madmom's filters: those nearest to the semitones, each once.
CORNERS = [
    *range(1, 21), 22, 23, 24, 26, 27, 29, 31, 32, 34, 36, 39, 41, 43, 46, 49, 51, 55, 58, 61, 65, 69, 73, 77,
    82, 87, 92, 97, 103, 109, 116, 122, 130, 137, 146, 154, 163, 173, 183, 194, 206, 218, 231, 245, 259, 275,
    291, 309, 327, 346, 367, 389, 412, 436, 462, 490, 519, 550, 583, 617, 654, 693, 734, 778,
]  # fmt: skip

#: SHA-256 of madmom's filterbank, C order, float32.
MADMOM_FILTERBANK = "04261bfd073b7f2ba71a13ff853f6dc7d6b03d499087b5cfbf6ca0053641cdad"


def spectrogram(samples, task=None):
    """The reference on stems of any number, ``[stems, channels, n]``."""
    return create(Setup())(Stems(samples), task or Task()).frames


def music_like(length, seed=0):
    """Decaying chords over noise with a falling spectrum."""
    rng = np.random.default_rng(seed)
    time = np.arange(length) / RATE
    noise = np.cumsum(rng.standard_normal(length))
    sound = 0.05 * (noise - noise.mean()) / max(np.abs(noise).max(), 1e-9)
    for start in np.arange(0, time[-1] + 0.1, 0.25):
        after = np.maximum(time - start, 0)
        for pitch in rng.choice(
            [55.0, 110.0, 220.0, 261.6, 329.6, 392.0, 523.3, 1046.5, 4186.0], 3
        ):
            sound += 0.1 * np.exp(-6 * after) * np.sin(2 * np.pi * pitch * after)
    return np.clip(sound, -1, 1).astype(np.float32)


def signals(length):
    time = np.arange(length) / RATE
    return {
        "music": music_like(length),
        "white noise": np.random.default_rng(1).uniform(-1, 1, length).astype(np.float32),
        "chirp": np.sin(2 * np.pi * (20 * time + 5000 * time**2)).astype(np.float32),
        "square": np.sign(np.sin(2 * np.pi * 440 * time)).astype(np.float32),
        "constant": np.ones(length, np.float32),
        "silence": np.zeros(length, np.float32),
        "quiet": (1e-5 * np.random.default_rng(2).standard_normal(length)).astype(np.float32),
    }


LENGTHS = [1, 2, 440, 441, 442, 2047, 2048, 2049, 44_101]


def one_frame_at_a_time(mono):
    """Slow, in float64 throughout, from the definition: the oracle."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2047)
    filters = np.zeros((1024, 81))
    for band, (left, centre, right) in enumerate(
        zip(CORNERS, CORNERS[1:], CORNERS[2:], strict=False)
    ):
        for b in range(left, right):
            rising, falling = (b - left) / (centre - left), (right - b) / (right - centre)
            filters[b, band] = rising if b < centre else falling
        filters[:, band] /= filters[:, band].sum()
    frames = []
    for t in range(-(-len(mono) // 441)):
        frame = np.zeros(2048)
        for n in range(2048):
            at = t * 441 - 1024 + n
            if 0 <= at < len(mono):
                frame[n] = mono[at]
        magnitude = np.abs(np.fft.fft(frame * hann))[:1024]
        frames.append(np.log10(1 + magnitude @ filters))
    return np.array(frames)


def test_the_filterbank_is_that_of_madmom():
    filters = filterbank()
    assert filters.shape == (1024, 81)
    assert filters.dtype == np.float32
    if hashlib.sha256(filters.tobytes()).hexdigest() == MADMOM_FILTERBANK:
        return
    # Another NumPy may sum in another order: then each weight within one unit in the last place.
    assert np.count_nonzero(filters) == 1428
    np.testing.assert_array_equal(filters[np.arange(2, 20), np.arange(18)], 1)
    expected = np.zeros((1024, 81))
    for band, (left, centre, right) in enumerate(
        zip(CORNERS, CORNERS[1:], CORNERS[2:], strict=False)
    ):
        bins = np.arange(left, right)
        expected[bins, band] = np.interp(bins, [left, centre, right], [0, 1, 0])
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(filters, expected, rtol=4e-7)


def test_each_filter_sums_to_one():
    np.testing.assert_allclose(filterbank().sum(axis=0), 1, rtol=1e-6)


def test_the_window_is_symmetric():
    values = window()
    assert values.dtype == np.float64
    assert values.shape == (2048,)
    assert (values[0], values[-1]) == (0, 0)
    np.testing.assert_allclose(values, values[::-1], atol=1e-15)


@pytest.mark.parametrize("name", list(signals(1)))
def test_it_equals_the_oracle(name):
    mono = signals(9000)[name]
    frames = spectrogram(mono[np.newaxis, np.newaxis])[0]
    np.testing.assert_allclose(frames, one_frame_at_a_time(mono), rtol=0, atol=4e-7)


@pytest.mark.parametrize("length", [n for n in LENGTHS if n < 3000])
def test_it_equals_the_oracle_at_short_lengths(length):
    mono = signals(length)["white noise"]
    frames = spectrogram(mono[np.newaxis, np.newaxis])[0]
    np.testing.assert_allclose(frames, one_frame_at_a_time(mono), rtol=0, atol=4e-7)


def test_blocks_join_without_a_seam():
    # 300 frames: three blocks. Frames beside the seams against the same frames far from any.
    mono = signals(300 * 441)["music"]
    frames = spectrogram(mono[np.newaxis, np.newaxis])[0]
    for first in (120, 250):
        excerpt = mono[(first - 5) * 441 : (first + 25) * 441]
        alone = spectrogram(excerpt[np.newaxis, np.newaxis])[0]
        np.testing.assert_allclose(frames[first : first + 18], alone[5:23], rtol=0, atol=4e-7)


def madmom_spectrogram(madmom, mono):
    audio = madmom.audio
    signal = audio.signal.Signal(mono, sample_rate=RATE, num_channels=1)
    framed = audio.signal.FramedSignal(signal, frame_size=2048, fps=100)
    stft = audio.stft.ShortTimeFourierTransform(framed)
    filtered = audio.spectrogram.FilteredSpectrogram(
        stft, num_bands=12, fmin=30, fmax=17000, norm_filters=True
    )
    return np.asarray(audio.spectrogram.LogarithmicSpectrogram(filtered, mul=1, add=1))


@pytest.mark.parametrize("name", list(signals(1)))
@pytest.mark.parametrize("length", LENGTHS)
def test_it_equals_madmom(madmom, name, length):
    mono = signals(length)[name]
    expected = madmom_spectrogram(madmom, mono)
    frames = spectrogram(mono[np.newaxis, np.newaxis])[0]
    assert frames.shape == expected.shape
    np.testing.assert_allclose(frames, expected, rtol=0, atol=4e-7)


def test_it_equals_what_madmom_gave_for_a_song(golden, shared_dir):
    # madmom 0.17.dev0 on 16-bit stems, which it divides by 32767.
    expected = golden("francium_excerpt.npz")["spec_first_3000_frames"]
    stems = []
    for name in STEMS:
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        stop = 3000 * 441 + 2048
        integers, rate = soundfile.read(path, stop=stop, dtype="int16")
        assert rate == RATE
        stems.append(integers / np.float32(32767))
    frames = spectrogram(np.stack(stems)[:, np.newaxis])[:, :3000]
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames, expected, rtol=0, atol=1e-6)


def test_stereo_is_the_mean_of_the_channels():
    stereo = np.stack([music_like(5000, 1), music_like(5000, 2)])[np.newaxis]
    mean = (stereo[:, :1] + stereo[:, 1:]) * np.float32(0.5)
    np.testing.assert_array_equal(spectrogram(stereo), spectrogram(mean))


def test_channels_that_cancel_are_silent():
    one = music_like(5000)
    assert not spectrogram(np.stack([one, -one])[np.newaxis]).any()


def test_strided_and_read_only_stems_are_taken_and_not_modified():
    interleaved = np.random.default_rng(3).uniform(-1, 1, (4, 6000, 2)).astype(np.float32)
    stems = interleaved.transpose(0, 2, 1)[:, :, ::-1]
    stems.flags.writeable = False
    kept = interleaved.copy()
    frames = spectrogram(stems)
    np.testing.assert_array_equal(interleaved, kept)
    np.testing.assert_array_equal(frames, spectrogram(np.ascontiguousarray(stems)))


def test_the_record_is_valid_and_the_stems_stay_in_order():
    samples = np.zeros((4, 2, 4410), np.float32)
    for stem in range(4):
        samples[stem] = 0.1 * (stem + 1)
    record = create(Setup())(Stems(samples), Task()).validate()
    assert record.frames.shape == (4, 10, 81)
    assert np.all(np.diff(record.frames[:, 5, 0]) > 0)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6000), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_any_length_gives_a_finite_frame_per_hop(length, channels, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, (2, channels, length)).astype(np.float32)
    frames = spectrogram(samples)
    assert frames.shape == (2, frame_count(length), 81)
    assert np.isfinite(frames).all()
    assert (frames >= 0).all()


def test_memory_does_not_grow_with_the_song():
    def peak_beyond_output(seconds):
        samples = np.zeros((1, 2, seconds * RATE), np.float32)
        tracemalloc.start()
        frames = spectrogram(samples)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - frames.nbytes

    assert peak_beyond_output(120) < peak_beyond_output(20) + 2**20


def test_progress_rises_to_one_and_may_cancel():
    seen = []
    samples = np.zeros((4, 1, 100 * RATE), np.float32)
    spectrogram(samples, Task(progress=seen.append))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def cancel(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spectrogram(samples, Task(progress=cancel))
