"""The hooks of this distribution. Importing them imports neither NumPy nor a compiled module."""

from __future__ import annotations

from collections.abc import Iterator

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import close
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import MixSpectrogram, Nn, Spectrogram
from allin1_core.markers import hookimpl

_MEASURED = "2-core x86-64 cloud machine (Zen 4), 2026-11"


@hookimpl
def allin1_nn() -> Iterator[Backend[Nn]]:
    """Yield the compiled network."""
    yield Backend(
        name="cython",
        stage="nn",
        target="allin1_backend_cython.network:create",
        summary="Compiled, attention without gathers",
        probe="allin1_backend_cython.probe:check_network",
        parity=close(2e-5),
        speed=(Speed("cpu", 0.08, 0.018, f"{_MEASURED}, benchmarks/bench_cython_network.py"),),
        models=("all-in-one",),
    )


@hookimpl
def allin1_spectrogram() -> Iterator[Backend[Spectrogram | MixSpectrogram]]:
    """Yield the compiled spectrograms of stems and of a mix."""
    yield Backend(
        name="cython",
        stage="spectrogram",
        target="allin1_backend_cython.spectrogram:create",
        summary="Compiled, in double precision",
        probe="allin1_backend_cython.probe:check_spectrogram",
        parity=close(1e-6),
        speed=(
            Speed("cpu", 0.005, 0.0008, f"{_MEASURED}, benchmarks/bench_cython_spectrogram.py"),
        ),
    )
    yield Backend(
        name="cython-mix",
        stage="spectrogram",
        target="allin1_backend_cython.mix_spectrogram:create",
        summary="Compiled, in double precision",
        probe="allin1_backend_cython.probe:check_spectrogram",
        parity=close(1e-6),
        speed=(Speed("cpu", 0.005, 0.0005, f"{_MEASURED}, benchmarks/bench_mix_spectrogram.py"),),
        takes="mix",
    )
