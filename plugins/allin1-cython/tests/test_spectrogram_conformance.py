"""The standard tests of a backend for ``spectrogram``."""

from __future__ import annotations

from allin1_core.testing.conformance import SpectrogramConformance


class TestSpectrogram(SpectrogramConformance):
    hooks = "allin1_backend_cython.hooks"
    backend = "cython"
    heavy = ("allin1_backend_cython._isa", "allin1_backend_cython._spectrogram")
