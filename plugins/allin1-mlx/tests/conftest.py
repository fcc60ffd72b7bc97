"""Shared fixtures: golden outputs and trained weights if available, and the devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allin1_core.contracts.verdict import Ready

from allin1_backend_mlx import bridges, devices

pytest_plugins = ["allin1_core.testing.golden"]


VERDICTS = {"cpu": devices.probe_cpu(), "gpu": devices.probe_gpu_in_float32()}


@pytest.fixture(params=[kind for kind in VERDICTS if isinstance(VERDICTS[kind], Ready)])
def device(request: pytest.FixtureRequest) -> str:
    """Name of each device that MLX can use here; the conformance tests report the others."""
    verdict = VERDICTS[request.param]
    assert isinstance(verdict, Ready)
    return verdict.device


@pytest.fixture
def put(device: str) -> Callable[[Any], Any]:
    """Convert a NumPy array to MLX."""
    return lambda array: bridges.from_numpy(array, device)
