"""The hooks of this distribution: backends and bridges. Importing them imports neither PyTorch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.parity import close, event
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.installing import install_command
from allin1_core.markers import hookimpl

from allin1_backend_torch.demucs_catalogue import NAMES, separators

if TYPE_CHECKING:
    from allin1_core.contracts.model import SeparatorCard, Takes
    from allin1_core.contracts.stages import (
        Demix,
        Functional,
        MetricalPrep,
        MixSpectrogram,
        Nn,
        Spectrogram,
    )

_PACKAGE = "allin1_backend_torch"
_DEVICES = ("cpu", "cuda", "mps")

_NEEDS = Needs(
    requires=("torch>=2.4",),
    remedy="Install PyTorch 2.4 or later: see https://pytorch.org/get-started/locally.",
)

_NEEDS_DEMUCS = Needs(
    requires=("torch>=2.4", "demucs>=4.1,<5"),
    remedy=f"Install Demucs: {install_command('allin1-torch', 'demucs')}. Or give separated stems (--stems-dir).",
)

_NEEDS_TRITON = Needs(
    requires=("torch>=2.4", "triton>=3.4"),
    remedy="Install Triton, which PyTorch for CUDA includes on Linux.",
)

# Building NATTEN requires PyTorch, which pip's build isolation hides by default.
_NEEDS_NATTEN = Needs(
    requires=("torch>=2.5", "natten>=0.21,<0.22"),
    remedy="Install NATTEN: pip install --no-build-isolation 'natten>=0.21,<0.22'; for CUDA take its wheel"
    " from https://natten.org/install.",
)

_ON_2_CORES = "2-core x86-64 cloud machine, PyTorch 2.13, 2026-11"
_ON_H200 = "NVIDIA H200, PyTorch 2.11, 2026-11"

# Set-up time in seconds, including the slower first call but not the probes; seconds per second of audio.
_SPEEDS = {
    "demix": {"cpu": (1.5, 0.38), "cuda": (1.5, 6.4e-4)},
    # Those in Triton with the kernels in its cache: the first set-up of either on a machine takes 7 to 10 s on 16 cores.
    # What Triton takes to start is in its probe, as it is the same for both.
    "demix-triton": {"cuda": (1.8, 3.1e-4)},
    "spectrogram": {"cpu": (0.07, 0.0033), "cuda": (0.25, 1.6e-5)},
    "spectrogram-float32": {"cpu": (0.07, 0.0021), "cuda": (0.25, 2.5e-5)},
    "spectrogram-mix": {"cpu": (0.07, 0.0025), "cuda": (0.25, 1.3e-5)},
    # On CUDA, bound by its launches, and so slower in a batch, where other threads take turns with it: three networks took
    # 120 ms for 180 s by themselves and 167 ms in a batch, eight took 190 ms by themselves, and 260 ms in a batch even for 30 s.
    "nn": {"cpu": (0.18, 0.06), "cuda": (0.45, 1.9e-3)},
    "nn-triton": {"cuda": (0.6, 7.4e-5)},
    "nn-triton-float16": {"cuda": (0.6, 4.5e-5)},
    "nn-natten": {"cpu": (9.0, 0.45)},
    "metrical_prep": {"cpu": (0.003, 3e-6), "cuda": (0.04, 1e-6)},
    "functional": {"cpu": (0.004, 1e-5), "cuda": (0.045, 5e-6)},
}


def _speed(work: str, device: str) -> tuple[Speed, ...]:
    """The prior of one device; empty if nothing was measured, so that the backend is chosen last."""
    if device not in _SPEEDS[work]:
        return ()
    setup_s, rate = _SPEEDS[work][device]
    return (Speed(device, setup_s, rate, _ON_2_CORES if device == "cpu" else _ON_H200),)


def _if_known(record: Any, **arguments: Any) -> dict[str, Any]:
    """Those of `arguments` that `record` has fields for: older cores do without the others."""
    return {name: value for name, value in arguments.items() if name in record.__dataclass_fields__}


def _quick_probe(name: str) -> dict[str, Any]:
    """The argument for a quick probe; older cores call the full probe."""
    return _if_known(Backend, quick_probe=f"{_PACKAGE}.looking:{name}")


# Largest difference from Demucs in float32. On a CPU, relative to the root mean square of the stems, with weights whose
# residual branches are significant: 6e-6 was measured. On CUDA, that of half precision, for which the error of the worst
# stem of such a model was 41 dB below the stem; on MPS, nothing was measured.
_DEMIX_PARITY = {"cpu": 3e-5, "cuda": 2e-2, "mps": 1e-4}


@hookimpl
def allin1_demix() -> Iterable[Backend[Demix]]:
    """Yield the separator."""
    for device in _DEVICES:
        space = Space("torch", device)
        yield Backend(
            name=f"torch-{device}",
            stage="demix",
            target=f"{_PACKAGE}.demix:create",
            summary="Demucs, many segments at once" if device == "cuda" else "Demucs",
            consumes=space,
            produces=space,
            needs=_NEEDS_DEMUCS,
            probe=f"{_PACKAGE}.devices:probe_{device}",
            **_quick_probe(f"look_for_{device}"),
            parity=close(_DEMIX_PARITY[device]),
            speed=_speed("demix", device),
            streams=True,
            **_if_known(Backend, batches=device == "cuda"),
            separators=NAMES,
        )
    yield Backend(
        name="torch-cuda-triton",
        stage="demix",
        target=f"{_PACKAGE}.triton_demix.backend:create",
        summary="Demucs, many segments at once, with Triton kernels",
        consumes=Space("torch", "cuda"),
        produces=Space("torch", "cuda"),
        needs=Needs(requires=("triton>=3.4", *_NEEDS_DEMUCS.requires), remedy=_NEEDS_DEMUCS.remedy),
        probe=f"{_PACKAGE}.devices:probe_cuda_triton",
        **_quick_probe("look_for_cuda_triton"),
        parity=close(_DEMIX_PARITY["cuda"]),
        speed=_speed("demix-triton", "cuda"),
        streams=True,
        **_if_known(Backend, batches=True),
        separators=NAMES,
    )


@hookimpl
def allin1_separators() -> Iterable[SeparatorCard]:
    """Yield the published models of Demucs."""
    return separators()


@hookimpl
def allin1_spectrogram() -> Iterable[Backend[Spectrogram | MixSpectrogram]]:
    """Yield the spectrograms of stems and of a mix."""
    for device in _DEVICES:
        yield _spectrogram(device, "", "spectrogram:create", 2e-5 if device == "mps" else 1e-6)
    for device in ("cpu", "cuda"):
        yield _spectrogram(
            device, "-float32", "spectrogram:create_float32", 2e-5, is_double=False, opt_in=True
        )
    for device in _DEVICES:
        parity = 1e-4 if device == "mps" else 1e-6
        yield _spectrogram(device, "-mix", "mix_spectrogram:create", parity, takes="mix")


def _spectrogram(
    device: str,
    suffix: str,
    factory: str,
    parity: float,
    *,
    is_double: bool = True,
    takes: Takes = "stems",
    opt_in: bool = False,
) -> Backend[Spectrogram | MixSpectrogram]:
    space = Space("torch", device)
    precision = "double" if is_double and device != "mps" else "single"
    return Backend(
        name=f"torch-{device}{suffix}",
        stage="spectrogram",
        target=f"{_PACKAGE}.{factory}",
        summary=f"PyTorch, in {precision} precision",
        consumes=space,
        produces=space,
        needs=_NEEDS,
        probe=f"{_PACKAGE}.devices:probe_{device}",
        **_quick_probe(f"look_for_{device}"),
        parity=close(parity),
        speed=_speed(f"spectrogram{suffix}", device),
        opt_in=opt_in,
        takes=takes,
    )


@hookimpl
def allin1_nn() -> Iterable[Backend[Nn]]:
    """Yield the networks."""
    for device in _DEVICES:
        space = Space("torch", device)
        yield Backend(
            name=f"torch-{device}",
            stage="nn",
            target=f"{_PACKAGE}.network:create",
            summary="PyTorch, attention without gathers",
            consumes=space,
            produces=space,
            needs=_NEEDS,
            probe=f"{_PACKAGE}.devices:probe_{device}",
            **_quick_probe(f"look_for_{device}"),
            parity=close(2e-5),
            speed=_speed("nn", device),
            models=("all-in-one",),
        )
    # In half precision, the logits of trained networks differed by up to 7e-3 on all golden inputs.
    for suffix, factory, parity in (("", "create", 5e-5), ("-float16", "create_float16", 2e-2)):
        yield Backend(
            name=f"torch-cuda-triton{suffix}",
            stage="nn",
            target=f"{_PACKAGE}.triton_network.backend:{factory}",
            summary="Triton kernels, all networks at once"
            + (", in half precision" if suffix else ""),
            consumes=Space("torch", "cuda"),
            produces=Space("torch", "cuda"),
            needs=_NEEDS_TRITON,
            probe=f"{_PACKAGE}.devices:probe_cuda_triton",
            **_quick_probe("look_for_cuda_triton"),
            parity=close(parity),
            speed=_speed(f"nn-triton{suffix}", "cuda"),
            models=("all-in-one",),
            opt_in=bool(suffix),
        )
    for device in ("cpu", "cuda"):
        space = Space("torch", device)
        yield Backend(
            name=f"natten-{device}",
            stage="nn",
            target=f"{_PACKAGE}.network_natten:create",
            summary="PyTorch, attention in time by NATTEN",
            consumes=space,
            produces=space,
            needs=_NEEDS_NATTEN,
            probe=f"{_PACKAGE}.devices:probe_{device}_natten",
            **_quick_probe(f"look_for_natten_{device}"),
            parity=close(2e-5),
            speed=_speed("nn-natten", device),
            models=("all-in-one",),
        )


@hookimpl
def allin1_metrical_prep() -> Iterable[Backend[MetricalPrep]]:
    """Yield the conversion of logits to activations."""
    for device in _DEVICES:
        space = Space("torch", device)
        yield Backend(
            name=f"torch-{device}",
            stage="metrical_prep",
            target=f"{_PACKAGE}.metrical_prep:create",
            summary="PyTorch",
            consumes=space,
            produces=space,
            needs=_NEEDS,
            probe=f"{_PACKAGE}.devices:probe_{device}",
            **_quick_probe(f"look_for_{device}"),
            parity=close(1e-6),
            speed=_speed("metrical_prep", device),
        )


@hookimpl
def allin1_functional() -> Iterable[Backend[Functional]]:
    """Yield the labelling of segments."""
    for device in _DEVICES:
        yield Backend(
            name=f"torch-{device}",
            stage="functional",
            target=f"{_PACKAGE}.functional:create",
            summary="PyTorch for the labels, the core for the boundaries",
            consumes=Space("torch", device),
            produces=HOST,
            needs=_NEEDS,
            probe=f"{_PACKAGE}.devices:probe_{device}",
            **_quick_probe(f"look_for_{device}"),
            parity=event(0.0),
            features=("labels",),
            speed=_speed("functional", device),
        )


@hookimpl
def allin1_bridges() -> Iterable[Bridge]:
    """Yield bridges between NumPy, PyTorch in main memory, and PyTorch on a GPU."""
    main = Space("torch", "cpu")
    yield Bridge(HOST, main, f"{_PACKAGE}.bridges:from_numpy", latency_s=5e-6)
    yield Bridge(main, HOST, f"{_PACKAGE}.bridges:to_numpy", latency_s=5e-6)
    # Through page-locked memory over PCIe 5; on Apple's chips a copy within the same memory.
    for device, bytes_per_second in (("cuda", 2.3e10), ("mps", 2e10)):
        gpu = Space("torch", device)
        lock = f"{_PACKAGE}.bridges:page_lock" if device == "cuda" else None
        for source, destination, function in (
            (HOST, gpu, "from_numpy"),
            (gpu, HOST, "to_numpy"),
            (main, gpu, "to_device"),
            (gpu, main, "to_device"),
        ):
            yield Bridge(
                source,
                destination,
                f"{_PACKAGE}.bridges:{function}",
                bytes_per_second=bytes_per_second,
                latency_s=5e-5,
                **_if_known(Bridge, page_lock=lock if source == HOST else None),
            )
