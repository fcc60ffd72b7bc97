"""A fault at every system call of saving: what was there before, or what was to be written, is whole afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "faults"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloads a library into Linux")


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("faults") / "calls.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, FOLDER / "calls.c", "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has such: nothing here is about the speed of a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("scenario", "mode", "least"),
    [
        ("results earlier", "error", 100),
        ("results earlier", "late error", 20),
        ("results earlier", "errors from then on", 20),
        ("results earlier", "kill", 20),
        ("results", "error", 100),
        ("results", "kill", 20),
        ("stems earlier", "error", 100),
        ("stems earlier", "late error", 40),
        ("stems earlier", "errors from then on", 40),
        ("stems earlier", "kill", 40),
        ("stems", "error", 100),
        ("stems", "kill", 30),
    ],
)
def test_no_fault_loses_or_mixes_anything(
    preloaded: Path, place: Path, scenario: str, mode: str, least: int
) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(preloaded), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / "driver.py"), scenario, mode, str(place)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    *broken, last = ran.stdout.splitlines() or [""]
    assert (broken, ran.stderr, ran.returncode) == ([], "", 0)
    # That the faults came, and were not all for something else.
    assert last.endswith(" calls")
    assert int(last.split()[0]) >= least
