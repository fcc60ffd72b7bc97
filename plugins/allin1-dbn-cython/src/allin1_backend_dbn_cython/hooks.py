"""The hooks of this distribution. Importing them imports neither NumPy nor the compiled module."""

from __future__ import annotations

from collections.abc import Iterator

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import IDENTICAL
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import MetricalDbn
from allin1_core.markers import hookimpl

MEASURED = "one core of a 2-core x86-64 cloud machine (Zen 4), 2026-11, benchmarks/bench_dbn.py"


@hookimpl
def allin1_metrical_dbn() -> Iterator[Backend[MetricalDbn]]:
    """Yield the compiled metre decoder."""
    yield Backend(
        name="dbn-cython",
        stage="metrical_dbn",
        target="allin1_backend_dbn_cython.decoder:create",
        summary="Compiled, identical to madmom",
        probe="allin1_backend_dbn_cython.probe:check",
        parity=IDENTICAL,
        features=("tempo_prior",),
        speed=(Speed("cpu", 0.02, 0.00015, MEASURED),),
    )
