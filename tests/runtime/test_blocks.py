"""Spectrograms of long stems and mixes in blocks equal those of the whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import HOP_SAMPLES, LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.io.mix import MixFile, MixReader
from allin1_core.measuring.random_weights import random_model
from allin1_core.reference import mix_spectrogram
from allin1_core.reference.network import create as create_network
from allin1_core.reference.spectrogram import create
from allin1_core.runtime import blocks as blocks_module
from allin1_core.runtime.blocks import (
    CONTEXT_FRAMES,
    MIX_CONTEXT_FRAMES,
    logits_in_blocks,
    spectrogram_in_blocks,
)
from allin1_core.runtime.streaming import regrouped
from allin1_core.testing.signals import noise_mix, noise_stems
from allin1_core.weights.catalogue import catalogue

transform = create(Setup())
transform_mix = mix_spectrogram.create(Setup())

#: A matrix product may sum in another order when it has another number of rows.
ROUNDING = 2.5e-7


def in_blocks(stems: Stems, frames: int) -> tuple[np.ndarray, list[int]]:
    size = frames * HOP_SAMPLES
    samples = stems.samples
    blocks = [Stems(samples[..., i : i + size]) for i in range(0, samples.shape[-1], size)]
    lengths: list[int] = []

    def counted(block: Stems):
        lengths.append(block.samples.shape[-1])
        return transform(block, Task())

    return spectrogram_in_blocks(blocks, counted).frames, lengths


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20_000), st.integers(CONTEXT_FRAMES, 20), st.integers(1, 2))
def test_blocks_give_what_the_whole_gives(samples, frames, channels):
    stems = noise_stems(samples, channels=channels, seed=samples)
    whole = transform(stems, Task()).frames
    parts, _ = in_blocks(stems, frames)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("chunk", [1, 7, 29, 30, 31, 1000])
def test_frames_are_the_same_however_they_are_allocated(monkeypatch, chunk):
    stems = noise_stems(30 * HOP_SAMPLES - 1)
    expected, _ = in_blocks(stems, 4)
    monkeypatch.setattr(blocks_module, "CHUNK_FRAMES", chunk)
    frames, _ = in_blocks(stems, 4)
    np.testing.assert_array_equal(frames, expected)
    assert frames.flags.c_contiguous


#: Joins 160 MB of frames, and prints the growth of the process.
JOINING = """
import resource
import numpy as np
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import HOP_SAMPLES, LogSpectrogram, frame_count
from allin1_core.runtime.blocks import spectrogram_in_blocks

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def transform(stems):
    return LogSpectrogram(np.full((4, frame_count(stems.samples.shape[-1]), 81), 0.5, np.float32))

samples = np.broadcast_to(np.float32(0.1), (4, 1, 1000 * HOP_SAMPLES))
spectrogram_in_blocks([Stems(samples)], transform)
before = peak()
frames = spectrogram_in_blocks((Stems(samples) for _ in range(125)), transform).frames
assert frames.shape == (4, 125_000, 81)
assert (frames[:, ::1000] == 0.5).all()
print((peak() - before) / frames.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="depends on the C library")
def test_the_whole_spectrogram_is_in_memory_once():
    done = subprocess.run(
        [sys.executable, "-c", JOINING], capture_output=True, text=True, check=True
    )
    # One chunk beside it, and what the C library has not returned.
    assert float(done.stdout) < 1.6


@pytest.mark.parametrize("extra", [0, 1, HOP_SAMPLES - 1, HOP_SAMPLES])
def test_the_last_block_may_have_any_length(extra):
    stems = noise_stems(10 * HOP_SAMPLES + extra)
    parts, _ = in_blocks(stems, 5)
    np.testing.assert_allclose(parts, transform(stems, Task()).frames, rtol=0, atol=ROUNDING)


def test_no_more_than_a_block_and_its_context_is_transformed_at_once():
    _, lengths = in_blocks(noise_stems(100 * HOP_SAMPLES), 10)
    assert max(lengths) <= (10 + 2 * CONTEXT_FRAMES) * HOP_SAMPLES


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 50_000), st.integers(MIX_CONTEXT_FRAMES, 50))
def test_blocks_of_a_mix_give_what_the_whole_gives(samples, frames):
    mix, size = noise_mix(samples, seed=samples), frames * HOP_SAMPLES
    blocks = (Mix(mix.samples[:, i : i + size]) for i in range(0, samples, size))
    parts = spectrogram_in_blocks(blocks, lambda block: transform_mix(block, Task())).frames
    # Percussive is a difference of magnitudes: where one is rounded the other way, it is off by more.
    whole = transform_mix(mix, Task()).frames
    np.testing.assert_allclose(parts, whole, rtol=0, atol=4 * ROUNDING)


def test_one_hop_less_of_context_is_not_enough_for_a_mix(monkeypatch):
    monkeypatch.setattr("allin1_core.runtime.blocks.MIX_CONTEXT_FRAMES", MIX_CONTEXT_FRAMES - 1)
    mix = Mix(np.random.default_rng(1).uniform(-1, 1, (2, 200 * HOP_SAMPLES)).astype(np.float32))
    size = 20 * HOP_SAMPLES
    blocks = [Mix(mix.samples[:, i : i + size]) for i in range(0, 200 * HOP_SAMPLES, size)]
    parts = spectrogram_in_blocks(blocks, lambda block: transform_mix(block, Task())).frames
    assert np.abs(parts - transform_mix(mix, Task()).frames).max() > 1e-5


def test_a_mix_in_a_file_is_transformed_as_it_is_read(tmp_path):
    samples = (0.3 * noise_mix(5 * 44_100 + 7).samples).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", samples.T, 44_100, subtype="FLOAT")
    reader = MixReader(MixFile(tmp_path / "song.wav"), 0.7)
    lengths = []

    def counted(block: Mix):
        lengths.append(block.samples.shape[1])
        return transform_mix(block, Task())

    frames = spectrogram_in_blocks(regrouped(reader.blocks(), 100), counted).frames
    np.testing.assert_allclose(
        frames, transform_mix(Mix(samples), Task()).frames, rtol=0, atol=4 * ROUNDING
    )
    assert max(lengths) <= (100 + 2 * MIX_CONTEXT_FRAMES) * HOP_SAMPLES
    assert reader.samples == samples.shape[1]


@pytest.fixture(scope="module")
def network_on():
    """The reference's network with seeded random weights, on a range of 180 seconds of noise."""
    call = create_network(Setup(model=random_model(1)))
    frames = np.random.default_rng(5).random((4, 18_000, 81), np.float32) * 2

    def run(span: slice) -> Logits:
        return call(LogSpectrogram(frames[:, span]), Task(embeddings=True))

    return run


def test_with_the_context_of_the_card_blocks_of_the_network_give_what_the_whole_gives(network_on):
    (context,) = {card.context_frames for card in catalogue()}
    whole = network_on(slice(0, 18_000))
    joined = logits_in_blocks(18_000, network_on, context=context, length=9_000)
    for name in Logits.ARRAYS:
        expected = getattr(whole, name)
        np.testing.assert_allclose(getattr(joined, name), expected, rtol=0, atol=1e-5)


def test_without_context_the_edges_of_blocks_differ(network_on):
    whole = network_on(slice(0, 1000))
    joined = logits_in_blocks(1000, network_on, context=0, length=500)
    assert np.abs(joined.beat - whole.beat)[480:520].max() > 1e-3
