"""The spectrogram: every instruction set against the core's reference, and against madmom itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.frame_transform import FRAMES_PER_PART
from allin1_backend_cython.spectrogram import Spectrogram, create
from allin1_backend_cython.spectrogram_tables import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError
from allin1_core.reference import spectrogram as reference
from allin1_core.runtime.blocks import spectrogram_in_blocks
from allin1_core.testing import signals

LENGTHS = [1, 2, 440, 441, 442, 1024, 2047, 2048, 2049, 7 * 441, 8 * 441, 8 * 441 + 1, 44_101]


def spectrogram(samples: NDArray[Any], isa: str | None = None, threads: int = 1) -> NDArray[Any]:
    frames = Spectrogram(threads, instructions=isa)(Stems(samples), Task()).frames
    return np.asarray(frames)


def expected(samples: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(reference.create(Setup())(Stems(samples), Task()).frames)


def seven_signals(length: int) -> dict[str, NDArray[np.float32]]:
    time = np.arange(length) / SAMPLE_RATE
    rng = np.random.default_rng(length)
    impulse = np.zeros(length)
    impulse[length // 2] = 1
    decay = np.exp(-8 * (time % 0.5))
    made = {
        "music": decay * (np.sin(2 * np.pi * 55 * time) + np.sin(2 * np.pi * 415 * time)) / 2,
        "noise": np.clip(2 * rng.standard_normal(length), -1, 1),
        "chirp": np.sin(2 * np.pi * (20 * time + 5000 * time**2)),
        "square": np.sign(np.sin(2 * np.pi * 440 * time)),
        "constant": np.ones(length),
        "impulse": impulse,
        "quiet": 1e-5 * rng.standard_normal(length),
    }
    return {name: values.astype(np.float32) for name, values in made.items()}


@pytest.mark.parametrize("length", LENGTHS)
def test_it_equals_the_reference(isa: str, length: int) -> None:
    made = seven_signals(length)
    samples = np.stack(list(made.values()))[:, None]
    difference = np.abs(spectrogram(samples, isa) - expected(samples)).max(axis=(1, 2))
    assert (difference <= 1e-6).all(), dict(zip(made, difference, strict=True))


def test_silence_is_zero(isa: str) -> None:
    assert not spectrogram(np.zeros((4, 2, 5000), np.float32), isa).any()


def test_stereo_is_averaged_like_the_reference(isa: str) -> None:
    rng = np.random.default_rng(3)
    samples = rng.uniform(-1, 1, (4, 2, 30_000)).astype(np.float32)
    np.testing.assert_allclose(spectrogram(samples, isa), expected(samples), rtol=0, atol=1e-6)
    mono = (samples[:, :1] + samples[:, 1:]) * np.float32(0.5)
    np.testing.assert_array_equal(spectrogram(samples, isa), spectrogram(mono, isa))


@pytest.mark.parametrize("level", [1e-44, 1e-30, 1e-10, 1e3, 1e12, 1e23])
def test_any_level_equals_the_reference(isa: str, level: float) -> None:
    samples = (signals.noise_stems(5000, seed=8).samples * level).astype(np.float32)
    wanted = expected(samples)
    np.testing.assert_allclose(spectrogram(samples, isa), wanted, rtol=4e-7, atol=4e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_affect_the_same_frames_as_in_the_reference(
    isa: str, value: float
) -> None:
    samples = signals.noise_stems(20_000, channels=1).samples.copy()
    samples[1, 0, 9000] = value
    with np.errstate(invalid="ignore"):
        wanted = expected(samples)
    frames = spectrogram(samples, isa)
    np.testing.assert_array_equal(np.isfinite(frames), np.isfinite(wanted))
    finite = np.isfinite(wanted)
    assert not finite.all()
    np.testing.assert_allclose(frames[finite], wanted[finite], rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(1, 12_000), channels=st.sampled_from([1, 2]), seed=st.integers(0, 2**32 - 1)
)
def test_any_length_equals_the_reference(length: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-1, 1, (4, channels, length)).astype(np.float32)
    np.testing.assert_allclose(spectrogram(samples), expected(samples), rtol=0, atol=1e-6)


def test_threads_do_not_change_a_bit(isa: str) -> None:
    samples = signals.noise_stems((2 * FRAMES_PER_PART + 3) * 441 + 17).samples
    one = spectrogram(samples, isa, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(spectrogram(samples, isa, threads), one)


def test_a_frame_does_not_depend_on_its_neighbours(isa: str) -> None:
    samples = signals.noise_stems(60 * 441).samples[0]
    transform = Transform(tables(), isa)
    whole = np.empty((60, 81), np.float32)
    transform.frames(samples, 0, whole)
    for first, count in ((0, 1), (1, 7), (8, 8), (13, 9), (59, 1)):
        part = np.empty((count, 81), np.float32)
        transform.frames(samples, first, part)
        np.testing.assert_array_equal(part, whole[first : first + count])


def test_blocks_of_a_long_song_join_to_the_same_bits() -> None:
    samples = signals.noise_stems(30_000 + 123).samples
    call = create(Setup(threads=1))
    blocks = [Stems(samples[..., first : first + 6174]) for first in range(0, 30_123, 6174)]
    joined = spectrogram_in_blocks(blocks, lambda stems: call(stems, Task())).frames
    np.testing.assert_array_equal(joined, spectrogram(samples))


def test_any_layout_is_read() -> None:
    samples = signals.noise_stems(9000).samples
    wanted = spectrogram(samples)
    spread = np.repeat(samples, 2, axis=2)[..., ::2]
    turned = np.ascontiguousarray(samples.transpose(1, 0, 2)).transpose(1, 0, 2)
    backwards = np.ascontiguousarray(samples[..., ::-1])[..., ::-1]
    swapped = np.ascontiguousarray(samples[:, ::-1])[:, ::-1]
    read_only = samples.copy()
    read_only.setflags(write=False)
    for changed in (spread, turned, backwards, swapped, read_only, samples.astype(np.float64)):
        np.testing.assert_array_equal(spectrogram(changed), wanted)


def test_progress_rises_to_one_and_its_exceptions_propagate() -> None:
    told: list[float] = []
    stems = signals.noise_stems(44_100)
    Spectrogram(2)(stems, Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Spectrogram(2)(stems, Task(progress=stop))


def test_a_missing_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=instruction_sets()[0]):
        Spectrogram(1, instructions="mmx")
    monkeypatch.setenv("ALLIN1_CYTHON_ISA", "mmx")
    with pytest.raises(BackendError, match="ALLIN1_CYTHON_ISA"):
        create(Setup())


def test_arrays_of_wrong_shapes_are_refused() -> None:
    transform = Transform(tables(), instruction_sets()[0])
    mono = np.zeros((1, 100), np.float32)
    with pytest.raises(ValueError, match=r"1 or 2"):
        transform.frames(np.zeros((3, 100), np.float32), 0, np.empty((1, 81), np.float32))
    with pytest.raises(ValueError, match="contiguous"):
        transform.frames(np.zeros((1, 200), np.float32)[:, ::2], 0, np.empty((1, 81), np.float32))
    with pytest.raises(ValueError, match="bands"):
        transform.frames(mono, 0, np.empty((1, 80), np.float32))
    with pytest.raises(ValueError, match="bands"):
        transform.frames(mono, -1, np.empty((1, 81), np.float32))
    with pytest.raises(ValueError, match="no kernel"):
        Transform(tables(), "mmx")


def test_it_equals_the_installed_madmom(isa: str) -> None:
    reason = "compares with madmom through allin1-madmom, which is not installed"
    madmom = pytest.importorskip("allin1_backend_madmom.spectrogram", reason=reason)
    try:
        call = madmom.create(Setup())
    except BackendError as error:
        pytest.skip(f"compares with madmom: {error}")
    for length in (1, 441, 2047, 44_101):
        made = list(seven_signals(length).values())
        for four in (made[:4], made[3:]):
            stems = Stems(np.stack(four)[:, None])
            wanted = call(stems, Task()).frames
            difference = np.abs(spectrogram(stems.samples, isa) - wanted).max()
            assert difference <= 1e-6


def test_it_equals_stored_output_of_madmom_for_a_song(
    golden: Callable[[str], Any], shared_dir: Path
) -> None:
    soundfile = pytest.importorskip("soundfile", reason="reads the song with soundfile")
    wanted = golden("francium_excerpt.npz")["spec_first_3000_frames"]
    stems = []
    for name in STEMS:
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        # madmom divides 16-bit samples by 32767.
        samples = soundfile.read(path, dtype="int16", frames=3010 * 441)[0]
        stems.append(samples.astype(np.float32) / np.float32(32767))
    frames = spectrogram(np.stack(stems)[:, None], threads=2)
    np.testing.assert_allclose(frames[:, :3000], wanted, rtol=0, atol=1e-6)
