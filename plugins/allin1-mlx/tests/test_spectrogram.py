from __future__ import annotations

import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import spectrogram as reference
from allin1_core.testing import signals

from allin1_backend_mlx.spectrogram import create

#: Tolerances: declared for any signal, and reached on music.
TOLERANCE, ON_MUSIC = 2e-5, 2e-6


def expected(samples):
    return reference.create(Setup())(Stems(samples), Task()).frames


def assert_close(actual, wanted, tolerance=TOLERANCE):
    np.testing.assert_allclose(np.asarray(actual), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("samples", [1, 440, 441, 442, 2048, 64 * 441, 65 * 441 + 1, 220_500])
def test_it_equals_the_reference(device, put, samples):
    call = create(Setup(device))
    for stems in (signals.noise_stems(samples), signals.hard_stems(samples)):
        frames = call(Stems(put(stems.samples)), Task()).validate().frames
        assert_close(frames, expected(stems.samples))


def test_music_is_closer_than_promised(device, put):
    stems = signals.music_stems(6.0).samples
    frames = create(Setup(device))(Stems(put(stems)), Task()).frames
    assert_close(frames, expected(stems), ON_MUSIC)


@pytest.mark.parametrize("block", [1, 7, 500])
def test_blocks_join_without_a_seam(device, put, block):
    stems = signals.hard_stems(70_001).samples
    call = create(Setup(device))
    call = replace(call, call=replace(call.call, block=block))
    assert_close(call(Stems(put(stems)), Task()).frames, expected(stems))


def test_all_blocks_of_all_songs_have_the_same_shape(device, put):
    call = create(Setup(device))
    seen = set()

    def noting(stretch):
        seen.add(tuple(stretch.shape))
        return call.call.log_bands(stretch)

    noted = replace(call, call=replace(call.call, log_bands=noting, block=16))
    for samples in (1, 5000, 70_001):
        noted(Stems(put(signals.noise_stems(samples).samples)), Task())
    assert len(seen) == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles for a CPU with g++")
def test_compiled_it_gives_the_same():
    call = create(Setup("cpu"))
    call = replace(call, call=replace(call.call, log_bands=mx.compile(call.call.log_bands)))
    stems = signals.noise_stems(50_000).samples
    assert_close(call(Stems(mx.array(stems)), Task()).frames, expected(stems))


def test_silence_is_zero(device, put):
    silence = put(signals.silent_stems(5000).samples)
    assert not np.asarray(create(Setup(device))(Stems(silence), Task()).frames).any()


def test_progress_rises_to_one(device, put):
    told = []
    stems = Stems(put(signals.noise_stems(900_000, channels=1).samples))
    create(Setup(device))(stems, Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 2


def test_it_equals_madmom_on_a_real_song(device, put, shared_dir, golden):
    soundfile = pytest.importorskip("soundfile", reason="reads the song with soundfile")
    wanted = golden("francium_excerpt.npz")["spec_first_3000_frames"][:, :1000]
    stems = []
    for name in ("bass", "drums", "other", "vocals"):
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        # madmom divides 16-bit samples by 32767.
        samples = soundfile.read(path, dtype="int16", frames=1010 * 441)[0]
        stems.append(samples.astype(np.float32) / np.float32(32767))
    frames = create(Setup(device))(Stems(put(np.stack(stems)[:, None])), Task()).frames
    assert_close(np.asarray(frames)[:, :1000], wanted, ON_MUSIC)
