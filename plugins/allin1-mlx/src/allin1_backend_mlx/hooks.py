"""The hooks of this distribution: backends and bridges. Importing them imports neither MLX nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.parity import Parity, close, event
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.installing import install_command
from allin1_core.markers import hookimpl

if TYPE_CHECKING:
    from allin1_core.contracts.stages import (
        Demix,
        Functional,
        MetricalPrep,
        MixSpectrogram,
        Nn,
        Spectrogram,
        Stage,
    )

_PACKAGE = "allin1_backend_mlx"

_INSTALL = (
    'Install MLX: "pip install mlx" on a Mac with Apple silicon, "pip install mlx[cpu]" on Linux.'
)
_NEEDS = Needs(requires=("mlx>=0.32",), remedy=_INSTALL)
_NEEDS_DEMUCS = Needs(
    requires=("mlx>=0.32", "demucs-mlx>=1.6"),
    platforms=("darwin",),
    remedy=f"On a Mac with Apple silicon: {install_command('allin1-mlx', 'demix')}",
)

#: Default probes, which require float32; stages whose precision does not matter use ``probe_gpu``.
_PROBES = {"cpu": "probe_cpu", "gpu": "probe_gpu_in_float32"}

_ON_2_CORES = "2-core x86-64 cloud machine, MLX 0.32.4, 2026-11, by the ratio to NumPy of benchmarks/bench_mlx.py"
_PUBLISHED = (
    "not measured here: published by the origin of this project (all-in-one-mlx) for a song of 195 s on Apple"
    " silicon, without set-up"
)

# Set-up time in seconds, including the slower first call but not the probes; seconds per second of audio.
_SPEEDS: dict[str, dict[str, tuple[float, float]]] = {
    "demix": {"gpu": (0.0, 3.9 / 195)},
    "spectrogram": {"cpu": (0.02, 0.005), "gpu": (0.0, 0.36 / 195)},
    # On a GPU, half of that for stems: an estimate, as there is half as much to transform.
    "mix_spectrogram": {"cpu": (0.02, 0.0034), "gpu": (0.0, 0.18 / 195)},
    "nn": {"cpu": (0.2, 1.1), "gpu": (0.0, 1.0 / 195)},
    "metrical_prep": {"cpu": (0.005, 3e-6), "gpu": (0.0, 0.5 / 195)},
    "functional": {"cpu": (0.01, 3e-5), "gpu": (0.0, 0.2 / 195)},
}


def _speed(work: str, device: str) -> tuple[Speed, ...]:
    setup_s, rate = _SPEEDS[work][device]
    return (Speed(device, setup_s, rate, _ON_2_CORES if device == "cpu" else _PUBLISHED),)


def _backends(
    stage: Stage, summary: str, parity: Parity, *, to_host: bool = False, models: str = "*"
) -> Iterator[Backend[Any]]:
    """Yield one backend for each kind of device."""
    for device, probe in _PROBES.items():
        space = Space("mlx", device)
        module = "network" if stage == "nn" else stage
        yield Backend(
            name=f"mlx-{device}",
            stage=stage,
            target=f"{_PACKAGE}.{module}:create",
            summary=summary,
            consumes=space,
            produces=HOST if to_host else space,
            needs=_NEEDS,
            probe=f"{_PACKAGE}.devices:{probe}",
            parity=parity,
            speed=_speed(stage, device),
            models=(models,),
        )


@hookimpl
def allin1_demix() -> Iterable[Backend[Demix]]:
    """Yield the separator."""
    space = Space("mlx", "gpu")
    yield Backend(
        name="mlx-gpu",
        stage="demix",
        target=f"{_PACKAGE}.demix:create",
        summary="Demucs, by demucs-mlx",
        consumes=space,
        produces=space,
        needs=_NEEDS_DEMUCS,
        probe=f"{_PACKAGE}.devices:probe_gpu",
        # According to its authors, errors are 72 dB or more below Demucs with the same shift, with attention in half precision.
        parity=close(2e-2),
        speed=_speed("demix", "gpu"),
    )


@hookimpl
def allin1_spectrogram() -> Iterable[Backend[Spectrogram | MixSpectrogram]]:
    """Yield the spectrograms of stems and of a mix."""
    yield from _backends("spectrogram", "MLX, in single precision", close(2e-5))
    for backend in _backends("spectrogram", "MLX, in single precision", close(1e-4)):
        yield replace(
            backend,
            name=f"{backend.name}-mix",
            target=f"{_PACKAGE}.mix_spectrogram:create",
            speed=_speed("mix_spectrogram", backend.device),
            takes="mix",
        )


@hookimpl
def allin1_nn() -> Iterable[Backend[Nn]]:
    """Yield the network."""
    yield from _backends("nn", "MLX, attention without gathers", close(2e-5), models="all-in-one")


@hookimpl
def allin1_metrical_prep() -> Iterable[Backend[MetricalPrep]]:
    """Yield the conversion of logits to activations."""
    yield from _backends("metrical_prep", "MLX", close(1e-6))


@hookimpl
def allin1_functional() -> Iterable[Backend[Functional]]:
    """Yield the labelling of segments."""
    summary = "MLX for the labels, the core for the boundaries"
    for backend in _backends("functional", summary, event(0.0), to_host=True):
        yield replace(backend, features=("labels",))


@hookimpl
def allin1_bridges() -> Iterable[Bridge]:
    """Yield bridges between NumPy and MLX on CPU and GPU, which share their memory."""
    spaces = [Space("mlx", device) for device in _PROBES]
    for space in spaces:
        # Measured on a CPU, where MLX copies. On Apple silicon, it may use the same memory: an estimate.
        yield Bridge(
            HOST,
            space,
            f"{_PACKAGE}.bridges:from_numpy",
            bytes_per_second=5e9 if space.device == "gpu" else 5e8,
            latency_s=2e-5,
        )
        yield Bridge(space, HOST, f"{_PACKAGE}.bridges:to_numpy", latency_s=2e-5)
    for source, destination in (spaces, spaces[::-1]):
        yield Bridge(source, destination, f"{_PACKAGE}.bridges:between_devices", latency_s=2e-5)
