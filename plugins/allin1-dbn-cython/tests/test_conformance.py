"""The standard tests of a backend for ``metrical_dbn``."""

from __future__ import annotations

from allin1_core.testing.conformance import MetricalDbnConformance, PluginConformance


class TestPlugin(PluginConformance):
    hooks = "allin1_backend_dbn_cython.hooks"
    heavy = ("allin1_backend_dbn_cython._kernel",)


class TestDbnCython(MetricalDbnConformance):
    hooks = "allin1_backend_dbn_cython.hooks"
    backend = "dbn-cython"
    heavy = ("allin1_backend_dbn_cython._kernel",)
