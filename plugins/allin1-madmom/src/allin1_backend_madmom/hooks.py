"""The hooks of this distribution. Importing them imports neither NumPy nor madmom."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.parity import IDENTICAL, close
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Demix, MetricalDbn, Spectrogram
from allin1_core.markers import hookimpl

_PACKAGE = "allin1_backend_madmom"

#: Name of the model, and of its architecture, which no other model has.
DOWNBEAT_RNN = "madmom-rnn"

# Times of the reference on a 2-core x86-64 cloud machine, 2026-11, multiplied by the ratios that benchmarks/bench_madmom.py
# measured there, for madmom-infer, which is the usual installation and slower than the original.
_MEASURED = "madmom-infer 0.2.0, 2-core x86-64 cloud machine, 2026-11, benchmarks/bench_madmom.py"
_MEASURED_ORIGINAL = "madmom 0.16.1, 2-core x86-64 cloud machine, 2026-11, one run of 90 s of music"


@hookimpl
def allin1_spectrogram() -> Iterable[Backend[Spectrogram]]:
    """Yield the spectrogram of stems."""
    yield Backend(
        name="madmom",
        stage="spectrogram",
        target=f"{_PACKAGE}.spectrogram:create",
        summary="madmom itself",
        probe=f"{_PACKAGE}.probe:check",
        parity=close(1e-6),
        speed=(Speed("cpu", 0.01, 0.013, _MEASURED),),
    )


@hookimpl
def allin1_metrical_dbn() -> Iterable[Backend[MetricalDbn]]:
    """Yield the metre decoder."""
    yield Backend(
        name="madmom",
        stage="metrical_dbn",
        target=f"{_PACKAGE}.decoder:create",
        summary="madmom itself",
        probe=f"{_PACKAGE}.probe:check",
        parity=IDENTICAL,
        speed=(Speed("cpu", 0.2, 0.1, _MEASURED),),
    )


@hookimpl
def allin1_demix() -> Iterable[Backend[Demix]]:
    """Yield madmom's downbeat networks, from the mix to activations."""
    yield Backend(
        name=DOWNBEAT_RNN,
        stage="demix",
        spans=("demix", "spectrogram", "nn", "metrical_prep"),
        target=f"{_PACKAGE}.downbeat_rnn:create",
        summary="madmom's recurrent networks, beats and downbeats from the mix",
        probe=f"{_PACKAGE}.probe:check_networks",
        # Relative to the original; madmom-infer differs by up to 2e-5, due to rounding in dozens of layers.
        parity=close(1e-4),
        speed=(Speed("cpu", 0.05, 0.12, _MEASURED_ORIGINAL),),
        models=(DOWNBEAT_RNN,),
    )


@hookimpl
def allin1_models() -> Iterable[ModelCard]:
    """Yield madmom's downbeat model, whose parameters are part of madmom."""
    yield ModelCard(
        name=DOWNBEAT_RNN,
        summary="madmom's recurrent networks: tempo, beats and downbeats of a mix, no separation, no sections",
        files=(),
        downbeat_threshold=0.05,
        licence="CC BY-NC-SA 4.0: not for commercial use (the file LICENSE beside madmom's models)",
        source="madmom 0.16.1, https://github.com/CPJKU/madmom_models",
        architecture=DOWNBEAT_RNN,
        outputs=("beats",),
    )
