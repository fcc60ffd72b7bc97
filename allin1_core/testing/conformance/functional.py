"""Conformance of what finds sections."""

from __future__ import annotations

from allin1_core.testing.conformance.backend import BackendConformance


class FunctionalConformance(BackendConformance):
    """Conformance of a backend that ends with ``functional``."""

    stage = "functional"
