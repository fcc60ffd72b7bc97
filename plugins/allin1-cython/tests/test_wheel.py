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


def test_it_contains_the_compiled_modules_and_their_type_stubs(wheel: Path) -> None:
    package = SOURCES / "src/allin1_backend_cython"
    check_contents(wheel, package, "cython = allin1_backend_cython.hooks")


def test_its_tag_names_the_supported_pythons(wheel: Path) -> None:
    check_tag(wheel)


def test_it_runs_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    code = """
from allin1_backend_cython.network import create
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model
print(*create(Setup(model=random_model(1)))(random_spectrogram(9), Task()).validate().function.shape)
"""
    shape = run_from_wheel(wheel, tmp_path, "allin1_backend_cython", code)
    assert shape == ["10", "9"]
