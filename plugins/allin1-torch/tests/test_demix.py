"""The separation, against Demucs' own functions on seeded weights of a small HTDemucs, and once on the real size."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from allin1_core.contracts.audio import STEMS, Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError, ContractError, InputError

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from demucs.apply import BagOfModels, apply_model
from demucs.hdemucs import HDemucs

from allin1_backend_torch import demix, demix_at_once, demix_members, demix_models
from allin1_backend_torch.demix import Separation
from allin1_backend_torch.demix_error import measure_precisions, signal_to_error_db
from allin1_backend_torch.demix_network import Network
from allin1_backend_torch.demix_parameters import is_supported, lay_out
from allin1_backend_torch.demix_precision import computing

SOURCES = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="module")
def small(small_htdemucs):
    return small_htdemucs


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: so small a network is slower on several, especially on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(samples, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(2, samples, generator=rng, dtype=torch.float32)


def separate_by_demucs(model, mix, parameters, device="cpu"):
    """Compute what Demucs' Separator computes, whose class loads its models itself: stems in this project's order.

    It runs on the same device, in true float32: the inverse transforms of the libraries for CPU and GPU differ for
    a spectrum whose constant is not real, which these networks may return.
    """
    state = random.getstate()
    random.seed(parameters.seed)
    mix = mix.to(device)
    try:
        with computing("float32"):
            mono = mix.mean(0)
            mean, scale = mono.mean(), mono.std() + 1e-8
            out = apply_model(
                model,
                ((mix - mean) / scale)[None],
                shifts=parameters.shifts,
                overlap=parameters.overlap,
                segment=parameters.segment_s,
            )
    finally:
        random.setstate(state)
    out, scale, mean = out.cpu(), scale.cpu(), mean.cpu()
    found = dict(zip(model.sources, (out * scale + mean)[0], strict=True))
    found["other"] = sum(
        each for source, each in found.items() if source not in {*STEMS} - {"other"}
    )
    return torch.stack([found[stem] for stem in STEMS])


def separation(model, device="cpu", precision="float32", parameters=None, **changes):
    bag = demix_models.bag_of(model)
    return Separation(
        bag, parameters or DemixParameters(), torch.device(device), precision, **changes
    )


def separate(separation, mix):
    return separation(Mix(mix.to(separation.device)), Task()).samples.cpu()


def worst(wanted, actual):
    return float((wanted - actual).abs().max())


@pytest.fixture(scope="module")
def model(small):
    return small()


@pytest.fixture(params=[False, True], ids=["modules", "channels-last"])
def channels_last(request):
    return request.param


@pytest.mark.parametrize("samples", [1, 5000, 22_050, 40_001])
def test_equals_demucs(device, channels_last, model, samples):
    mix = noise(samples, seed=samples)
    if samples == 1:  # Demucs computes NaN for its standard deviation
        out = separate(separation(model, device, channels_last=channels_last), mix)
        assert bool(torch.isfinite(out).all())
        return
    wanted = separate_by_demucs(model, mix, DemixParameters(), device)
    out = separate(separation(model, device, channels_last=channels_last, batch_size=3), mix)
    model.cpu()
    assert wanted.square().mean().sqrt() > 0.005
    assert worst(wanted, out) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"shifts": 0},
        {"shifts": 2, "seed": 11},
        {"overlap": 0.0},
        {"overlap": 0.6, "seed": 2},
        {"segment_s": 0.3},
        {"segment_s": 0.31, "overlap": 0.1},
    ],
    ids=str,
)
def test_parameters_have_the_same_effect_as_in_demucs(channels_last, model, changes):
    parameters, mix = DemixParameters(**changes), noise(30_000)
    wanted = separate_by_demucs(model, mix, parameters)
    own = separation(model, parameters=parameters, channels_last=channels_last, batch_size=4)
    assert worst(wanted, separate(own, mix)) < 1e-5


def test_a_bag_weighs_its_models_as_demucs_does_and_shifts_each_anew(channels_last, small):
    weights = [[1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 1.0]]
    bag = BagOfModels([small(1), small(2)], weights)
    parameters, mix = DemixParameters(shifts=2, seed=3), noise(30_000)
    wanted = separate_by_demucs(bag, mix, parameters)
    own = separation(bag, parameters=parameters, channels_last=channels_last, batch_size=2)
    assert worst(wanted, separate(own, mix)) < 1e-5


def test_sources_without_a_stem_are_added_to_other(channels_last, small):
    model, mix = small(sources=(*SOURCES, "guitar", "piano")), noise(30_000)
    wanted = separate_by_demucs(model, mix, DemixParameters())
    own = separation(model, channels_last=channels_last)
    assert worst(wanted, separate(own, mix)) < 1e-5


def test_older_architectures_run_as_modules_with_their_own_length(channels_last):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = HDemucs(list(SOURCES), channels=8, segment=Fraction(1, 2)).eval()
    parameters, mix = DemixParameters(shifts=2), noise(50_000)
    assert not is_supported(model)
    wanted = separate_by_demucs(model, mix, parameters)
    own = separation(model, parameters=parameters, channels_last=channels_last, batch_size=3)
    assert worst(wanted, separate(own, mix)) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"bottom_channels": 0},
        {"t_layers": 2, "t_cross_first": True},
        {"dconv_mode": 1},
        {"t_weight_pos_embed": 0.5, "freq_emb": 0.4},
    ],
    ids=str,
)
def test_the_network_supports_other_sizes(device, changes, small):
    model, segments = small(4, **changes), torch.stack([noise(22_050, 1), noise(22_050, 2)])
    assert is_supported(model)
    with computing("float32"):
        wanted = model.to(device)(segments.to(device)).cpu()
        network = Network(lay_out(model, torch.float32, torch.device(device)))
        out = network(segments.to(device)).cpu()
    assert worst(wanted, out) < 1e-4 * float(wanted.std())


@pytest.mark.parametrize(
    "changes",
    [
        {"t_emb": "scaled"},
        {"t_norm_out": False},
        {"t_group_norm": True},
        {"t_gelu": False},
        {"norm_starts": 2},
        {"context_enc": 1},
        {"use_train_segment": False},
        {"t_layer_scale": False},
        {"t_sin_random_shift": 3},
    ],
    ids=str,
)
def test_other_networks_are_not_supported(changes, small):
    assert not is_supported(small(**changes))


def test_the_network_in_half_precision_is_near(device, model):
    mix = noise(60_000)
    own = separation(model, device, channels_last=True, batch_size=8)
    levels = measure_precisions(
        lambda precision: own.attempt(Mix(mix.to(device)), precision, Task()), ["float16"]
    )["float16"]
    assert min(levels.values()) > 50
    assert max(levels.values()) < 90, "half precision was not used"


def test_the_level_of_an_error_is_in_decibels():
    wanted = torch.ones(4, 2, 10)
    levels = signal_to_error_db(
        wanted, wanted + torch.tensor([0.1, 0.01, 0.001, 0.0]).view(4, 1, 1)
    )
    assert list(levels) == list(STEMS)
    np.testing.assert_allclose(list(levels.values())[:3], [20, 40, 60], atol=1e-3)
    assert levels["vocals"] == float("inf")


def test_a_separator_reports_the_error_of_its_precisions(monkeypatch, model):
    own, mix = separation(model, channels_last=True, batch_size=8), Mix(noise(40_000))
    assert own.precision_errors(mix, Task()) == {}, "a CPU computes in float32"
    monkeypatch.setattr(demix, "less_exact", lambda device: ("float16",))
    (levels,) = own.precision_errors(mix, Task()).values()
    assert list(levels) == list(STEMS)
    assert 50 < min(levels.values()) < 90


def test_a_stem_without_error_is_exact_even_if_it_is_silent():
    silent = torch.zeros(4, 2, 10)
    assert set(signal_to_error_db(silent, silent).values()) == {float("inf")}


def test_half_precision_that_overflows_is_repeated(caplog, small):
    model = small(5)
    with torch.no_grad():  # the same function, through values that overflow in half precision
        model.channel_upsampler.weight *= 1e7
        model.channel_upsampler.bias *= 1e7
    mix = noise(30_000)
    wanted = separate_by_demucs(model, mix, DemixParameters())
    own = separation(model, precision="float16", channels_last=True, batch_size=4)
    with caplog.at_level(logging.WARNING):
        out = separate(own, mix)
    assert "repeated" in caplog.text
    assert worst(wanted, out) < 1e-5


def test_a_song_with_nan_is_an_error(model, channels_last):
    mix = noise(30_000)
    mix[0, 100] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        separate(separation(model, channels_last=channels_last), mix)


def test_stems_with_nan_are_an_error(channels_last, small):
    model = small(6)
    with torch.no_grad():
        model.decoder[0].rewrite.bias.fill_(torch.inf)
    with pytest.raises(BackendError, match="not finite"):
        separate(separation(model, channels_last=channels_last), noise(20_000))


def test_a_batch_is_halved_when_memory_runs_out(monkeypatch, model):
    sizes = []
    run = demix_members.Faster.__call__

    def with_little_memory(module, segments):
        sizes.append(len(segments))
        if len(segments) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return run(module, segments)

    mix = noise(50_000)
    wanted = separate(separation(model), mix)
    monkeypatch.setattr(demix_members.Faster, "__call__", with_little_memory)
    out = separate(separation(model, batch_size=32), mix)
    assert sizes == [4, 2, 2]
    assert worst(wanted, out) < 1e-6


@pytest.mark.parametrize(("multiprocessors", "batch"), [(132, 32), (128, 32), (40, 10), (2, 1)])
def test_smaller_gpus_get_fewer_segments_at_once(model, monkeypatch, multiprocessors, batch):
    bag = demix_models.bag_of(model)
    properties = SimpleNamespace(multi_processor_count=multiprocessors)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert demix_at_once.usual_batch(torch.device("cuda:0"), bag) == batch


@pytest.mark.parametrize(
    ("threads", "gigabytes", "batch"),
    [(1, 64, 1), (2, 64, 2), (16, 64, 16), (64, 64, 32), (16, 4, 5), (16, 0.2, 1)],
)
def test_a_cpu_gets_a_segment_for_each_thread_as_far_as_memory_suffices(
    model, monkeypatch, threads, gigabytes, batch
):
    monkeypatch.setattr(demix_at_once, "main_memory", lambda: int(gigabytes * 1e9))
    bag = demix_models.bag_of(model)
    assert demix_at_once.usual_batch(torch.device("cpu"), bag, threads) == batch
    assert demix_at_once.usual_batch(torch.device("mps"), bag, threads) == 1


def test_modules_of_demucs_get_one_segment_at_once_on_a_cpu():
    bag = demix_models.bag_of(HDemucs(list(SOURCES), channels=4, segment=1))
    assert demix_at_once.usual_batch(torch.device("cpu"), bag, 8) == 1


def test_the_memory_of_a_container_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(demix_at_once, "CONTAINER_LIMITS", ())
    own = demix_at_once.main_memory()
    assert own > 2**28
    paths = tmp_path / "missing", tmp_path / "unlimited", tmp_path / "limit"
    paths[1].write_text("max\n")
    paths[2].write_text("1000000\n")
    monkeypatch.setattr(demix_at_once, "CONTAINER_LIMITS", paths[:2])
    assert demix_at_once.main_memory() == own
    monkeypatch.setattr(demix_at_once, "CONTAINER_LIMITS", paths)
    assert demix_at_once.main_memory() == 1_000_000


def test_a_cpu_separates_side_by_side_by_default_and_one_by_one_on_request(
    small_folder, monkeypatch
):
    sizes = []
    whole = demix_members.Faster.__call__

    def noting(self, segments):
        sizes.append((len(segments), torch.get_num_threads()))
        return whole(self, segments)

    monkeypatch.setattr(demix_members.Faster, "__call__", noting)
    parameters = DemixParameters(model="thin", weights=str(small_folder))
    stems = []
    for size, wanted in ((None, [2, 2, 1]), (1, [1, 1, 1, 1, 1]), (3, [3, 2])):
        own = demix.create(Setup("cpu", demix=replace(parameters, batch_size=size), threads=2))
        stems.append(separate(own, noise(60_000)))
        assert sizes == [(each, 2) for each in wanted]
        sizes.clear()
        assert worst(stems[0], stems[-1]) < 1e-5


def test_without_memory_for_one_segment_the_backend_fails(monkeypatch, model):
    def without_memory(module, segments):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(demix_members.Faster, "__call__", without_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        separate(separation(model, batch_size=4), noise(30_000))


def test_progress_moves_with_every_batch_and_its_exceptions_propagate(model, channels_last):
    told = []
    own = separation(model, channels_last=channels_last)
    own(Mix(noise(40_000)), Task(progress=told.append))
    assert len(told) >= 3
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(fraction):
        told.append(fraction)
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        own(Mix(noise(40_000)), Task(progress=stop))
    assert len(told) == 1
    assert not torch.is_inference_mode_enabled()


def test_the_settings_of_the_process_are_restored(model, channels_last):
    def state():
        return (
            random.getstate(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.mha.get_fastpath_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
        )

    before = state()
    for precision in ("float32", "tf32"):
        separate(
            separation(model, precision=precision, channels_last=channels_last, threads=1),
            noise(9000),
        )
        assert state() == before
    parameters = DemixParameters(weights="random:3")
    demix_models.load_bag(parameters)
    assert state() == before


def test_the_input_may_be_read_only_or_strided_and_is_not_modified(model, channels_last):
    own, mix = separation(model, channels_last=channels_last), noise(30_000)
    wanted = separate(own, mix)
    spread = torch.zeros(2, 60_000)
    spread[:, ::2] = mix
    assert torch.equal(separate(own, spread[:, ::2]), wanted)
    assert torch.equal(mix, noise(30_000))
    out = separate(own, mix)
    assert torch.equal(out, wanted)
    out += 1  # fails for an inference tensor


def test_silence_stays_silence(model, channels_last):
    out = separate(separation(model, channels_last=channels_last), torch.zeros(2, 40_000))
    assert out.abs().max() < 1e-6


def test_a_segment_longer_than_the_model_supports_is_refused(model):
    with pytest.raises(InputError, match="Use 0.5 s or less"):
        demix_members.cut_of(model, DemixParameters(segment_s=0.6))


def test_parameters_out_of_range_are_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(demix, "load_bag", None)
    with pytest.raises(ContractError, match="overlap"):
        demix.create(Setup(demix=DemixParameters(overlap=1.0)))


def test_the_stage_separates_on_its_device(device, monkeypatch, model, small):
    monkeypatch.setattr(demix, "load_bag", lambda parameters, files: demix_models.bag_of(small()))
    call = demix.create(Setup(device, demix=DemixParameters(precision="float32"), threads=1))
    mix = noise(40_000)
    stems = call(Mix(mix.to(device)), Task()).validate()
    call.synchronize()
    assert stems.samples.device.type == torch.device(device).type
    wanted = separate_by_demucs(model, mix, DemixParameters(), device)
    model.cpu()
    assert worst(wanted, stems.samples.cpu()) < 1e-5


def test_the_real_architecture_equals_demucs():
    bag = demix_models.load_bag(DemixParameters(weights="random:1234"))
    (model,) = bag.models
    assert sum(values.numel() for values in model.parameters()) == 41_984_456
    with torch.no_grad():  # initial layer scales of 1e-4 would hide most of the network
        for name, values in model.named_parameters():
            if name.endswith(".scale"):
                values.fill_(0.3)
    parameters, mix = DemixParameters(seed=1, shifts=0), noise(100_000)
    wanted = separate_by_demucs(model, mix, parameters)
    own = Separation(bag, parameters, torch.device("cpu"), "float32", channels_last=True)
    assert worst(wanted, separate(own, mix)) < 1e-5


def test_audio_and_training_code_of_demucs_is_not_imported():
    code = (
        "import sys; from allin1_backend_torch import demix;"
        "print(*[m for m in ('sphn', 'lameenc', 'demucs.api', 'demucs.train') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
