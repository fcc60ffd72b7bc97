"""Tests that need a CUDA device. The other tests use one too, if available."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import HOP_SAMPLES, LogSpectrogram, frame_count
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing.signals import noise_stems, random_spectrogram
from allin1_core.testing.skipping import device_or_skip
from allin1_core.testing.weights import random_model

from allin1_backend_torch import (
    devices,
    functional,
    metrical_prep,
    mix_spectrogram,
    network,
    spectrogram,
)
from allin1_backend_torch.bridges import from_numpy, to_numpy
from allin1_backend_torch.running import spans


@pytest.fixture
def cuda():
    device = device_or_skip("torch-cuda", devices.probe_cuda())
    torch.cuda.reset_peak_memory_stats()
    return device


def chain(device, stems, model):
    """Run all stages on a device."""
    call = spectrogram.create(Setup(device))
    frames = call(Stems(from_numpy(stems.samples, device)), Task())
    logits = network.create(Setup(device, model))(frames, Task())
    activations = metrical_prep.create(Setup(device))(logits, Task())
    sections = functional.create(Setup(device))(logits, Task())
    return frames, logits, activations, sections


def test_stages_pass_arrays_on_the_device_and_agree_with_the_cpu(cuda):
    stems, model = noise_stems(400_000), random_model(4)
    on_gpu, on_cpu = chain(cuda, stems, model), chain("cpu", stems, model)
    for gpu, cpu, tolerance in zip(on_gpu, on_cpu, (1e-6, 1e-4, 1e-4), strict=False):
        for name in gpu.ARRAYS:
            one, other = getattr(gpu, name), getattr(cpu, name)
            if one is not None:
                assert one.device == torch.device(cuda)
                np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=0, atol=tolerance)
    assert on_gpu[3].segments[-1].end == on_cpu[3].segments[-1].end


def test_tensorfloat32_is_not_used(cuda):
    model = random_model(4)
    frames = LogSpectrogram(from_numpy(random_spectrogram(3000).frames, cuda))
    call = network.create(Setup(cuda, model))
    wanted = call(frames, Task())
    torch.set_float32_matmul_precision("medium")
    try:
        actual = call(frames, Task())
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    for name in Logits.ARRAYS[:4]:
        assert torch.equal(getattr(actual, name), getattr(wanted, name))


def peaks_of_songs(call, song, block, blocks):
    """Bytes that `call` needs at most, besides its result, for songs of so many blocks of `block` frames.

    The frames of a song are divided equally into as few blocks as possible: only songs of whole blocks have blocks of
    the same length, and that is the longest.
    """
    peaks = []
    for count in blocks:
        data = song(count * block * HOP_SAMPLES)
        assert spans(frame_count(data.samples.shape[-1]), block)[0] == (0, block)
        call(data, Task())
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        frames = call(data, Task()).frames
        peaks.append(torch.cuda.max_memory_allocated() - before - frames.nbytes)
        del data, frames
    return peaks


def test_the_memory_of_the_spectrogram_does_not_grow_with_the_song(cuda):
    call = spectrogram.create(Setup(cuda))
    peaks = peaks_of_songs(
        call,
        lambda samples: Stems(torch.zeros(4, 1, samples, device=cuda)),
        spectrogram.GPU_BLOCK,
        (6, 18),  # 4 and 12 minutes
    )
    assert peaks[1] < 1.02 * peaks[0]
    assert peaks[1] < 1 << 30


def test_the_memory_of_the_spectrogram_of_a_mix_does_not_grow_with_the_song(cuda):
    call = mix_spectrogram.create(Setup(cuda))
    peaks = peaks_of_songs(
        call,
        lambda samples: Mix(torch.zeros(2, samples, device=cuda)),
        mix_spectrogram.GPU_BLOCK,
        (5, 15),  # 7 and 20 minutes
    )
    assert peaks[1] < 1.02 * peaks[0]
    assert peaks[1] < 3 << 29


def test_the_network_fits_a_small_gpu_with_a_long_song(cuda):
    frames = torch.rand(4, 60_000, 81, dtype=torch.float32, device=cuda)  # ten minutes
    call = network.create(Setup(cuda, random_model(4)))
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call(LogSpectrogram(frames), Task())
    assert torch.cuda.max_memory_allocated() - before < 2 << 30


def test_a_song_longer_than_a_tile_equals_one_in_a_single_tile(cuda):
    frames = LogSpectrogram(from_numpy(random_spectrogram(20_000).frames, cuda))
    members = network.create(Setup(cuda, random_model(4))).call.members
    whole = network.Ensemble(members, network.Tiles(30_000, 30_000), 1)(frames, Task())
    tiled = network.Ensemble(members, network.Tiles(3001, 7001), 1)(frames, Task())
    for name in Logits.ARRAYS[:4]:
        torch.testing.assert_close(getattr(tiled, name), getattr(whole, name), rtol=0, atol=2e-5)


def test_a_synchronised_stage_has_finished(cuda):
    call = spectrogram.create(Setup(cuda))
    call(Stems(torch.zeros(4, 1, 44_100 * 600, device=cuda)), Task())
    call.synchronize()
    assert torch.cuda.current_stream().query()


def test_what_is_brought_to_numpy_is_complete_and_may_be_written_to(cuda):
    values = torch.arange(12 << 20, dtype=torch.float32, device=cuda)
    for part in (values, values[:1000]):
        # The copy comes behind work that the device has not finished.
        array = to_numpy(part * 4 / 4)
        np.testing.assert_array_equal(array, np.arange(len(part), dtype=np.float32))
        array += 1


def test_what_is_sent_is_complete_whatever_becomes_of_the_array(cuda):
    array = np.arange(13 << 20, dtype=np.float32)  # several pieces
    for part in (array, array[:1000]):
        wanted = part.copy()
        torch.cuda._sleep(10_000_000)  # so that the copies wait
        sent = from_numpy(part, cuda)
        part += 1
        np.testing.assert_array_equal(to_numpy(sent), wanted)
