"""The NumPy backends, registered through the same hooks as those of plugins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

if TYPE_CHECKING:
    from allin1_core.contracts.stages import (
        Functional,
        MetricalDbn,
        MetricalPrep,
        MixSpectrogram,
        Nn,
        Spectrogram,
    )

_MEASURED = "2-core x86-64 cloud machine, 2026-11"


@hookimpl
def allin1_spectrogram() -> Iterable[Backend[Spectrogram | MixSpectrogram]]:
    """Stems to spectrogram, and mix to spectrogram."""
    yield Backend(
        name="reference",
        stage="spectrogram",
        target="allin1_core.reference.spectrogram:create",
        summary="NumPy, in double precision",
        speed=(Speed("cpu", 0.02, 0.0032, _MEASURED),),
    )
    yield Backend(
        name="reference-mix",
        stage="spectrogram",
        target="allin1_core.reference.mix_spectrogram:create",
        summary="NumPy, in double precision",
        speed=(Speed("cpu", 0.02, 0.0022, _MEASURED),),
        takes="mix",
    )


@hookimpl
def allin1_nn() -> Iterable[Backend[Nn]]:
    """Spectrogram to logits."""
    yield Backend(
        name="reference",
        stage="nn",
        target="allin1_core.reference.network:create",
        summary="NumPy, in single precision",
        models=("all-in-one",),
        speed=(Speed("cpu", 0.1, 0.14, _MEASURED),),
    )


@hookimpl
def allin1_metrical_prep() -> Iterable[Backend[MetricalPrep]]:
    """Logits to activations."""
    yield Backend(
        name="reference",
        stage="metrical_prep",
        target="allin1_core.reference.metrical_prep:create",
        summary="NumPy",
        speed=(Speed("cpu", 0.003, 1.2e-6, _MEASURED),),
    )


@hookimpl
def allin1_metrical_dbn() -> Iterable[Backend[MetricalDbn]]:
    """Activations to beats."""
    yield Backend(
        name="reference",
        stage="metrical_dbn",
        target="allin1_core.reference.metrical_dbn:create",
        summary="NumPy, the beats of madmom's decoder",
        features=("tempo_prior",),
        speed=(Speed("cpu", 0.013, 0.0029, _MEASURED),),
    )


@hookimpl
def allin1_functional() -> Iterable[Backend[Functional]]:
    """Logits to labelled segments."""
    yield Backend(
        name="reference",
        stage="functional",
        target="allin1_core.reference.functional:create",
        features=("labels",),
        summary="NumPy",
        speed=(Speed("cpu", 0.002, 6e-6, _MEASURED),),
    )
