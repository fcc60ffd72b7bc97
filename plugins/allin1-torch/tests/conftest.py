"""What the tests share: golden outputs and trained weights where there are any, and the devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allin1_core.contracts.verdict import Ready

from allin1_backend_torch import bridges, devices

pytest_plugins = ["allin1_core.testing.golden"]


VERDICTS = {kind: getattr(devices, f"probe_{kind}")() for kind in ("cpu", "cuda", "mps")}


@pytest.fixture(params=[kind for kind in VERDICTS if isinstance(VERDICTS[kind], Ready)])
def device(request: pytest.FixtureRequest) -> str:
    """Name of each device that PyTorch can use here; of the others the conformance tests tell."""
    verdict = VERDICTS[request.param]
    assert isinstance(verdict, Ready)
    return verdict.device


@pytest.fixture
def put(device: str) -> Callable[[Any], Any]:
    """Bring a NumPy array to the device."""
    return lambda array: bridges.from_numpy(array, device)
