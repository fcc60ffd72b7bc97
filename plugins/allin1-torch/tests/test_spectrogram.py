from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import spectrogram as reference

from allin1_backend_torch import spectrogram as module
from allin1_backend_torch.bridges import to_numpy


def signals(length):
    """Return four stems with musical signals, and four that are hard for a transform."""
    rng = np.random.default_rng(length)
    time = np.arange(length) / SAMPLE_RATE
    decay = np.exp(-8 * (time % 0.5))
    easy = [
        decay * np.sin(2 * np.pi * 55 * time),
        decay * rng.standard_normal(length) * 0.2,
        0.3 * np.sin(2 * np.pi * 330 * time) + 0.3 * np.sin(2 * np.pi * 415 * time),
        np.zeros(length),
    ]
    hard = [
        np.sin(2 * np.pi * (20 * time + 5000 * time**2)),
        np.sign(np.sin(2 * np.pi * 440 * time)),
        np.ones(length),
        np.clip(2 * rng.standard_normal(length), -1, 1),
    ]
    return [np.stack(stems)[:, None].astype(np.float32) for stems in (easy, hard)]


def expected(samples):
    return reference.create(Setup())(Stems(samples), Task()).frames


@pytest.fixture
def tolerance(device):
    return 2e-5 if device == "mps" else 1e-6


@pytest.mark.parametrize(
    "length", [1, 2, 440, 441, 442, 2047, 2048, 2049, 44_101, 128 * 441, 129 * 441 + 1, 220_500]
)
def test_it_equals_the_reference(device, put, tolerance, length):
    call = module.create(Setup(device, threads=2))
    for samples in signals(length):
        frames = call(Stems(put(samples)), Task()).validate().frames
        assert frames.device.type == torch.device(device).type
        np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


def test_stereo_is_averaged(device, put, tolerance):
    stereo = np.random.default_rng(3).uniform(-1, 1, (4, 2, 30_000)).astype(np.float32)
    frames = module.create(Setup(device))(Stems(put(stereo)), Task()).frames
    np.testing.assert_allclose(to_numpy(frames), expected(stereo), rtol=0, atol=tolerance)


def test_blocks_join_without_a_seam(device, put, tolerance, monkeypatch):
    samples = signals(70_001)[1]
    for block in (1, 7, 64):
        monkeypatch.setattr(module, "CPU_BLOCK", block)
        monkeypatch.setattr(module, "GPU_BLOCK", block)
        frames = module.create(Setup(device, threads=3))(Stems(put(samples)), Task()).frames
        np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


def test_all_stems_in_a_block_are_each_stem_in_a_block(device, put):
    # GPUs use the first and CPUs the second; either supports both.
    if device == "mps":
        pytest.skip("MPS has no float64")
    samples = put(signals(40_000)[1])
    frames = torch.empty(2, 4, 91, 81, dtype=torch.float32, device=device)
    for out, stems, parts in ((frames[0], 4, module.GPU_PARTS), (frames[1], 1, module.CPU_PARTS)):
        filters = module.make_filters(torch.device(device), torch.float64, parts)
        for first in range(0, 4, stems):
            for span in ((0, 50), (50, 91)):
                module._log_bands(filters, samples, out, (slice(first, first + stems), span))
    torch.testing.assert_close(frames[0], frames[1], rtol=0, atol=5e-7)
    np.testing.assert_allclose(to_numpy(frames[0]), expected(to_numpy(samples)), rtol=0, atol=1e-6)


def test_single_precision_is_within_its_tolerance(device, put):
    call = module.create_float32(Setup(device))
    for samples in signals(100_000):
        frames = call(Stems(put(samples)), Task()).frames
        np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=2e-5)


def test_silence_is_zero(device, put):
    frames = module.create(Setup(device))(Stems(put(np.zeros((4, 1, 5000), "f4"))), Task()).frames
    assert not to_numpy(frames).any()


def test_the_same_input_gives_the_same_output_and_is_not_modified(device, put):
    samples = put(signals(30_000)[0])
    before = samples.clone()
    call = module.create(Setup(device, threads=2))
    one, two = (call(Stems(samples), Task()).frames for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(samples, before)


def test_any_layout_is_read(device, put, tolerance):
    samples = signals(30_000)[0]
    wide = put(np.ascontiguousarray(np.repeat(samples, 2, axis=2)))[:, :, ::2]
    turned = put(np.ascontiguousarray(samples.T)).permute(2, 1, 0)
    for strided in (wide, turned):
        frames = module.create(Setup(device))(Stems(strided), Task()).frames
        np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


def test_the_result_is_an_ordinary_tensor(device, put):
    frames = module.create(Setup(device))(Stems(put(signals(5000)[0])), Task()).frames
    assert not frames.is_inference()
    assert not frames.requires_grad
    frames += 1


def test_progress_rises_to_one(device, put):
    told = []
    module.create(Setup(device))(Stems(put(signals(5000)[0])), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1


def test_defaults_of_pytorch_do_not_matter(device, put, tolerance):
    samples = signals(9000)[1]
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")
    try:
        frames = module.create(Setup(device, threads=2))(Stems(put(samples)), Task()).frames
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


def test_it_equals_madmom_on_a_real_song(device, put, tolerance, shared_dir, golden):
    soundfile = pytest.importorskip("soundfile", reason="reads the song with soundfile")
    wanted = golden("francium_excerpt.npz")["spec_first_3000_frames"]
    stems = []
    for name in ("bass", "drums", "other", "vocals"):
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        # madmom divides 16-bit samples by 32767.
        samples = soundfile.read(path, dtype="int16", frames=3010 * 441)[0]
        stems.append(samples.astype(np.float32) / np.float32(32767))
    frames = module.create(Setup(device))(Stems(put(np.stack(stems)[:, None])), Task()).frames
    np.testing.assert_allclose(to_numpy(frames)[:, :3000], wanted, rtol=0, atol=tolerance)
