"""The standard tests of a backend for ``nn``."""

from __future__ import annotations

from allin1_core.testing.conformance import NnConformance


class TestCython(NnConformance):
    hooks = "allin1_backend_cython.hooks"
    backend = "cython"
    heavy = ("allin1_backend_cython._network",)
