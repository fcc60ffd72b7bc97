"""The hooks of this plugin. Imported by every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.parity import close
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Spectrogram
from allin1_core.markers import hookimpl


@hookimpl
def allin1_spectrogram() -> Iterable[Backend[Spectrogram]]:
    """Provide a backend that takes and returns NumPy arrays."""
    yield Backend(
        name="scipy",
        stage="spectrogram",
        target="allin1_backend_scipy.spectrogram:create",
        summary="SciPy's FFT in double precision, on several threads",
        needs=Needs(requires=("scipy>=1.10",)),
        # The bins of a filter are summed in a different order than in the reference.
        parity=close(1e-6),
        speed=(Speed("cpu", 0.3, 0.004, "2-core x86-64 cloud machine, 2026-11"),),
    )
