"""The wheel that is built from these sources is complete, tagged correctly, and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from allin1_core.testing.builds import (
    build_wheel,
    builds_a_wheel,
    check_contents,
    check_tag,
    run_from_wheel,
)

SOURCES = Path(__file__).resolve().parents[1]

pytestmark = builds_a_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(SOURCES, tmp_path_factory.mktemp("wheel"))


def test_it_contains_the_compiled_module_and_its_type_stub(wheel: Path) -> None:
    package = SOURCES / "src/allin1_backend_dbn_cython"
    check_contents(wheel, package, "dbn-cython = allin1_backend_dbn_cython.hooks")


def test_its_tag_names_the_supported_pythons(wheel: Path) -> None:
    check_tag(wheel)


def test_it_decodes_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    code = """
import numpy as np
from allin1_backend_dbn_cython.decoder import Decoder
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Task
values = np.full((1000, 2), 0.01)
values[::50] = 0.5, 0.01
print(len(Decoder(MetreParameters())(Activations(values), Task()).beat_times_s))
"""
    (beats,) = run_from_wheel(wheel, tmp_path, "allin1_backend_dbn_cython", code)
    assert int(beats) in (19, 20)
