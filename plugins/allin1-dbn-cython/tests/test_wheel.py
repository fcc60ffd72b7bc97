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

pytestmark = pytest.mark.skipif(
    not os.environ.get("ALLIN1_TEST_BUILDS"), reason="builds a wheel: set ALLIN1_TEST_BUILDS=1"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    unwanted = shutil.ignore_patterns(
        "build", "*.egg-info", "*.so", "*.pyd", "_kernel.c", "__pycache__"
    )
    shutil.copytree(SOURCES, sources, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), str(sources)]
    if not os.environ.get("ALLIN1_BUILD_ISOLATION"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_compiled_module_and_what_types_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    compiled = [name for name in names if name.endswith((".so", ".pyd"))]
    assert len(compiled) == 1
    assert compiled[0].startswith("allin1_backend_dbn_cython/_kernel.")
    package = {name for name in names if name.startswith("allin1_backend_dbn_cython/")}
    modules = {path.name for path in (SOURCES / "src/allin1_backend_dbn_cython").glob("*.py")}
    assert {Path(name).name for name in package} == {
        *modules, "py.typed", "_kernel.pyi", Path(compiled[0]).name
    }  # fmt: skip
    assert any(name.endswith("licenses/LICENSE") for name in names)
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "dbn-cython = allin1_backend_dbn_cython.hooks" in text


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


def test_it_decodes_where_nothing_else_of_the_sources_is(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = """
import numpy as np
import allin1_backend_dbn_cython as package
from allin1_backend_dbn_cython.decoder import Decoder
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Task
values = np.full((1000, 2), 0.01)
values[::50] = 0.5, 0.01
print(package.__file__)
print(len(Decoder(MetreParameters())(Activations(values), Task()).beat_times_s))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    where, beats = run.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert int(beats) in (19, 20)
