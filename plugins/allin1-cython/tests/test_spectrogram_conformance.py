"""The standard tests of the backends for ``spectrogram``."""

from __future__ import annotations

from allin1_core.testing.conformance import (
    MixSpectrogramConformance,
    SpectrogramConformance,
)


class TestSpectrogram(SpectrogramConformance):
    hooks = "allin1_backend_cython.hooks"
    backend = "cython"
    heavy = ("allin1_backend_cython._isa", "allin1_backend_cython._spectrogram")


class TestMixSpectrogram(MixSpectrogramConformance):
    hooks = "allin1_backend_cython.hooks"
    backend = "cython-mix"
    heavy = ("allin1_backend_cython._isa", "allin1_backend_cython._spectrogram")
