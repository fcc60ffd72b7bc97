"""The standard tests of the stage, run against this plugin's backend."""

from __future__ import annotations

from allin1_core.testing.conformance import SpectrogramConformance


class TestScipy(SpectrogramConformance):
    hooks = "allin1_backend_scipy.hooks"
    backend = "scipy"
    heavy = ("scipy",)
