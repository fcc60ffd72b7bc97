"""Files of networks: plain data is loaded, and no code in a file is run."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from allin1_core.errors import WeightsError

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from safetensors.torch import save

from allin1_backend_torch.demucs_files import read_network

SOURCES = ["drums", "bass", "other", "vocals"]
SIZES = {"channels": 8, "bottom_channels": 16, "t_layers": 1, "t_heads": 2}
NETWORKS = {
    "demucs.htdemucs.HTDemucs": lambda: HTDemucs(SOURCES, segment=Fraction(39, 5), **SIZES),
    "demucs.hdemucs.HDemucs": lambda: HDemucs(SOURCES, channels=4),
    "demucs.demucs.Demucs": lambda: Demucs(SOURCES, channels=4, depth=2),
}


class Trap:
    """Create a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def network():
    return NETWORKS["demucs.htdemucs.HTDemucs"]()


def th(model, **changes):
    args, kwargs = model._init_args_kwargs
    package = {"klass": type(model), "args": args, "kwargs": kwargs, "state": model.state_dict()}
    buffer = io.BytesIO()
    torch.save({**package, "training_args": {"lr": 3e-4, "optim": ["adam"]}, **changes}, buffer)
    return buffer.getvalue()


def safetensors(model, **changes):
    args, kwargs = model._init_args_kwargs
    kwargs = {
        key: {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
        if isinstance(value, Fraction)
        else value
        for key, value in kwargs.items()
    }
    klass = f"{type(model).__module__}.{type(model).__qualname__}"
    metadata = {"klass": klass, "args": json.dumps(args), "kwargs": json.dumps(kwargs)}
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    return save(tensors, {**metadata, **changes})


def same(one, other):
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


@pytest.mark.parametrize("klass", NETWORKS)
@pytest.mark.parametrize("kind", [th, safetensors])
def test_networks_of_demucs_are_read_from_both_formats(klass, kind):
    model = NETWORKS[klass]()
    name = "x.th" if kind is th else "x.safetensors"
    found = read_network(kind(model), name)
    assert type(found) is type(model)
    assert same(found, model)
    if hasattr(model, "segment"):
        assert found.segment == model.segment
    mix = torch.randn(1, 2, 20_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(found.eval()(mix), model.eval()(mix))


def test_no_time_is_spent_on_initial_values(network, tmp_path):
    """Neither on random numbers, nor on the import of PyTorch's compiler for tensors on the meta device."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors(network))
    code = f"""
import sys, torch
from pathlib import Path
from allin1_backend_torch.demucs_files import read_network
before = torch.get_rng_state()
assert "sympy" not in sys.modules
read_network(Path({str(path)!r}).read_bytes(), "x.safetensors")
assert torch.equal(torch.get_rng_state(), before)
assert not {{"torch._dynamo", "sympy"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensors_that_a_file_does_not_contain_have_their_initial_values():
    model = HTDemucs(SOURCES, segment=Fraction(39, 5), t_sparse_self_attn=True, **SIZES)
    found = read_network(safetensors(model), "x.safetensors")
    masks = [
        layer.src_mask for layer in found.crosstransformer.layers if hasattr(layer, "src_mask")
    ]
    assert masks
    assert not any(mask.is_meta for mask in masks)


def test_tensors_do_not_share_memory(network):
    shared = dict(network.state_dict())
    names = [name for name, value in shared.items() if value.dim() == 1]
    one, other = next(
        (a, b) for a in names for b in names if a < b and shared[a].shape == shared[b].shape
    )
    shared[one] = shared[other]
    found = read_network(th(network, state=shared), "x.th").state_dict()
    assert torch.equal(found[one], found[other])
    assert found[one].data_ptr() != found[other].data_ptr()


def test_half_precision_is_widened(network):
    halves = {name: value.half() for name, value in network.state_dict().items()}
    found = read_network(th(network, state=halves), "x.th")
    assert all(value.dtype == torch.float32 for value in found.state_dict().values())
    assert all(torch.equal(found.state_dict()[name], halves[name].float()) for name in halves)


def test_an_argument_that_the_class_no_longer_has_is_dropped(network):
    _, kwargs = network._init_args_kwargs
    found = read_network(th(network, kwargs={**kwargs, "hybrid_old": False}), "x.th")
    assert same(found, network)


@pytest.mark.parametrize("place", ["klass", "args", "kwargs", "state", "training_args", "whole"])
def test_a_pickle_that_calls_something_is_refused_and_not_run(network, tmp_path, place):
    trap = Trap(tmp_path / "sprung")
    wrapped = {"args": (trap,), "kwargs": {"x": trap}, "state": {"x": trap}}.get(place, trap)
    if place == "whole":
        buffer = io.BytesIO()
        torch.save(trap, buffer)
        content = buffer.getvalue()
    else:
        content = th(network, **{place: wrapped})
    with pytest.raises(WeightsError, match="without trusting its author") as caught:
        read_network(content, "955717e8-8726e21a.th")
    assert "mkdir" in str(caught.value)
    assert "--trust-demucs-weights" in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    with pytest.raises(WeightsError):
        read_network(pickle.dumps(Trap(tmp_path / "sprung")), "x.th")
    assert not (tmp_path / "sprung").exists()


@functools.wraps(HTDemucs.__init__)
def not_to_be_called(*_, **__):
    pytest.fail("the class was called")


class Calls:
    """Pickle as a call of one of Demucs' classes, or of a fraction, with these arguments."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_demucs_own_classes_are_not_called_by_a_pickle(network, monkeypatch):
    monkeypatch.setattr(HTDemucs, "__init__", not_to_be_called)
    with pytest.raises(WeightsError, match=r"it calls demucs.htdemucs.HTDemucs"):
        read_network(th(network, state={"x": Calls(HTDemucs, SOURCES)}), "x.th")


@pytest.mark.parametrize("parts", [("39/5",), (39, 5), (39,)])
def test_fractions_are_read_as_pickled_by_any_python(network, parts):
    _, kwargs = network._init_args_kwargs
    content = th(network, kwargs={**kwargs, "segment": Calls(Fraction, *parts)})
    assert read_network(content, "x.th").segment == Fraction(*parts)


@pytest.mark.parametrize(
    "parts", [("1e999999999",), ("1/3/5",), (123456789, 2), ("x",), (), (1, 0)]
)
def test_invalid_fractions_are_refused(network, parts):
    _, kwargs = network._init_args_kwargs
    content = th(network, kwargs={**kwargs, "segment": Calls(Fraction, *parts)})
    with pytest.raises(WeightsError):
        read_network(content, "x.th")


@pytest.mark.parametrize(
    "klass", ["os.system", "builtins.eval", "demucs.utils.fatal", "demucs.htdemucs.os", "x", ""]
)
def test_a_class_that_is_not_a_network_of_demucs_is_refused(network, klass, tmp_path):
    content = safetensors(network, klass=klass, args=json.dumps([f"mkdir {tmp_path / 'sprung'}"]))
    with pytest.raises(WeightsError, match="not a class of Demucs|does not name a class of Demucs"):
        read_network(content, "x.safetensors")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"channels": 10**9},
        {"depth": 65},
        {"freq_emb": 1e300},
        {"freq_emb": float("nan")},
        {"t_emb": "x" * 1000},
        {"multi_freqs": [0.5] * 1000},
        {"multi_freqs": [[[[0.5]]]]},
        {"multi_freqs": {"a": 1}},
        {"segment": {"_type": "fraction", "numerator": 10**12, "denominator": 1}},
    ],
)
def test_arguments_that_are_not_plain_and_small_are_refused(network, monkeypatch, kwargs):
    content = safetensors(network, kwargs=json.dumps({**SIZES, **kwargs}))
    monkeypatch.setattr(HTDemucs, "__init__", not_to_be_called)
    with pytest.raises(WeightsError, match="without trusting its author"):
        read_network(content, "x.safetensors")


def test_no_memory_is_allocated_for_a_network_that_the_file_does_not_contain(network):
    content = safetensors(network, kwargs=json.dumps({**SIZES, "bottom_channels": 8192}))
    with pytest.raises(WeightsError, match="its tensors are not those"):
        read_network(content, "x.safetensors")


def test_a_number_expanded_to_many_is_refused(network):
    spread = {
        name: torch.zeros(1).expand(value.shape) for name, value in network.state_dict().items()
    }
    with pytest.raises(WeightsError, match="more parameters than bytes"):
        read_network(th(network, state=spread, training_args={}), "x.th")


@pytest.mark.parametrize("name", ["x.th", "x.safetensors"])
@pytest.mark.parametrize("change", ["cut", "empty", "text", "deep"])
def test_damaged_files_raise_weights_errors(network, name, change):
    whole = th(network) if name == "x.th" else safetensors(network)
    header = b"[" * 100_000
    content = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no model at all",
        "deep": len(header).to_bytes(8, "little") + header,
    }[change]
    with pytest.raises(WeightsError) as caught:
        read_network(content, name)
    assert name in str(caught.value)


def test_quantised_parameters_need_trust(network):
    with pytest.raises(WeightsError, match="quantised"):
        read_network(th(network, state={"__quantized": True}), "x.th")
    with pytest.raises(WeightsError, match="quantised"):
        read_network(safetensors(network, structure="{}"), "x.safetensors")


def test_trusted_files_may_run_code(network, tmp_path):
    content = th(network, training_args=Trap(tmp_path / "sprung"))
    assert same(read_network(content, "x.th", trust=True), network)
    assert (tmp_path / "sprung").is_dir()
    assert same(read_network(safetensors(network), "x.safetensors", trust=True), network)
