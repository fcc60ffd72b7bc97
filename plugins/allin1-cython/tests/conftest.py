"""Shared fixtures: the instruction sets of this processor, golden outputs and trained weights."""

from __future__ import annotations

import pytest
from allin1_backend_cython._isa import instruction_sets

pytest_plugins = ["allin1_core.testing.golden"]


@pytest.fixture(params=["avx512", "avx2", "sse2", "neon", "scalar"])
def isa(request: pytest.FixtureRequest) -> str:
    """Name of each instruction set that this processor runs."""
    if request.param not in instruction_sets():
        pytest.skip(f"this processor does not support {request.param}")
    return str(request.param)
