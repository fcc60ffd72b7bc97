"""The wheel that is built from these sources: complete, tagged right, and it runs.

Building takes a compiler, so this runs where it is asked for: ``ALLIN1_TEST_BUILDS=1``, as ``nox`` and the
builds of releases do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1]
PACKAGE = SOURCES / "src" / "allin1_backend_cython"

pytestmark = pytest.mark.skipif(
    not os.environ.get("ALLIN1_TEST_BUILDS"), reason="builds a wheel: set ALLIN1_TEST_BUILDS=1"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    unwanted = shutil.ignore_patterns(
        "build", "*.egg-info", "*.so", "*.pyd", "_*.c", "__pycache__", ".*"
    )
    shutil.copytree(SOURCES, sources, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), str(sources)]
    if not os.environ.get("ALLIN1_BUILD_ISOLATION"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_compiled_modules_and_what_types_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if name.startswith("allin1_backend_cython/")}
    compiled = {name for name in package if name.endswith((".so", ".pyd"))}
    modules = {path.stem for path in PACKAGE.glob("*.pyx")}
    assert {Path(name).name.split(".")[0] for name in compiled} == modules
    wanted = {
        path.name for pattern in ("*.py", "*.pyi", "py.typed") for path in PACKAGE.glob(pattern)
    }
    assert {Path(name).name for name in package - compiled} == wanted
    assert any(name.endswith("licenses/LICENSE") for name in names)
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "cython = allin1_backend_cython.hooks" in text


def test_its_tag_says_which_pythons_it_serves(wheel: Path) -> None:
    _, _, python, abi, platform = wheel.stem.split("-")
    assert platform != "any"
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert (python, abi) == (version, f"{version}t")
    elif sys.version_info >= (3, 11):
        assert (python, abi) == ("cp311", "abi3")
    else:
        assert (python, abi) == (version, version)


def test_it_runs_where_nothing_else_of_the_sources_is(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = """
import allin1_backend_cython as package
from allin1_backend_cython.network import create
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model
print(package.__file__)
print(*create(Setup(model=random_model(1)))(random_spectrogram(9), Task()).validate().function.shape)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    where, *shape = run.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert shape == ["10", "9"]
