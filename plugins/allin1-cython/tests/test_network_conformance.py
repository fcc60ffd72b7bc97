"""The standard tests of the plugin and its backend for ``nn``, and outputs of the original, with each instruction set."""

from __future__ import annotations

import pytest

from allin1_core.testing.conformance import (
    NnConformance,
    NnOriginalConformance,
    PluginConformance,
)


class TestPlugin(PluginConformance):
    hooks = "allin1_backend_cython.hooks"
    heavy = ("allin1_backend_cython._network", "allin1_backend_cython._spectrogram")


class Cython:
    hooks = "allin1_backend_cython.hooks"
    backend = "cython"
    heavy = ("allin1_backend_cython._network",)


class TestCython(Cython, NnConformance):
    pass


class TestCythonAgainstTheOriginal(Cython, NnOriginalConformance):
    @pytest.fixture(autouse=True)
    def _chosen(self, isa, monkeypatch):
        monkeypatch.setenv("ALLIN1_CYTHON_ISA", isa)
        # Too slow for whole songs, whose special cases do not depend on the instruction set.
        is_slow = isa in ("sse2", "scalar")
        monkeypatch.setattr(type(self), "most_frames", 3000 if is_slow else 100_000)
        monkeypatch.setattr(type(self), "most_members", 1 if is_slow else 8)
