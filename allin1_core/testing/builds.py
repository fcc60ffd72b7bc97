"""Helpers for tests of compiled plugins: building a wheel, and running kernels with sanitizers.

Building needs a compiler, so these tests only run with ``ALLIN1_TEST_BUILDS=1``, which ``nox`` and the release builds
set. ``ALLIN1_BUILD_ISOLATION=1`` lets pip download the build requirements. With ``ALLIN1_RUNNER`` (such as
``valgrind -q --error-exitcode=9``, or an emulator of another processor), programs are compiled normally by ``CC`` and run
by that command; otherwise they are compiled with the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

_RUNNER = shlex.split(os.environ.get("ALLIN1_RUNNER", ""))

_COMPILER = shlex.split(os.environ.get("CC", "cc"))

_IS_ASKED_FOR = bool(os.environ.get("ALLIN1_TEST_BUILDS"))

#: Mark of tests that build a wheel.
builds_a_wheel = pytest.mark.skipif(
    not _IS_ASKED_FOR, reason="builds a wheel: set ALLIN1_TEST_BUILDS=1"
)

#: Marks of tests that compile a program.
compiles = [
    pytest.mark.skipif(not _IS_ASKED_FOR, reason="compiles: set ALLIN1_TEST_BUILDS=1"),
    pytest.mark.skipif(not shutil.which(_COMPILER[0]), reason=f"needs the compiler {_COMPILER[0]}"),
]

#: Build products and other files that are not sources.
_NOT_SOURCES = ("build", "*.egg-info", "*.so", "*.pyd", "_*.c", "__pycache__", ".*")


def build_wheel(sources: Path, folder: Path) -> Path:
    """Build the wheel of a copy of `sources` in `folder`, and return its path."""
    copy = folder / "sources"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns(*_NOT_SOURCES))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), str(copy)]
    if not os.environ.get("ALLIN1_BUILD_ISOLATION"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def check_contents(wheel: Path, package: Path, entry_point: str) -> None:
    """Assert that a wheel contains exactly the compiled modules of `package`, its Python sources and its types.

    Parameters
    ----------
    wheel
        The wheel.
    package
        The folder of the package among the sources.
    entry_point
        The line of the group ``allin1``: ``name = module``.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert entry_point in archive.read(entry_points).decode()
    inside = {name for name in names if name.startswith(f"{package.name}/")}
    compiled = {name for name in inside if name.endswith((".so", ".pyd"))}
    modules = {path.stem for path in package.glob("*.pyx")}
    assert {Path(name).name.split(".")[0] for name in compiled} == modules
    assert len(compiled) == len(modules)
    wanted = {
        path.name for pattern in ("*.py", "*.pyi", "py.typed") for path in package.glob(pattern)
    }
    assert {Path(name).name for name in inside - compiled} == wanted
    assert any(name.endswith("licenses/LICENSE") for name in names)


def check_tag(wheel: Path) -> None:
    """Assert that the tag of a wheel is correct: from Python 3.11 on, that of the stable ABI."""
    _, _, python, abi, platform = wheel.stem.split("-")
    assert platform != "any"
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert (python, abi) == (version, f"{version}t")
    elif sys.version_info >= (3, 11):
        assert (python, abi) == ("cp311", "abi3")
    else:
        assert (python, abi) == (version, version)


def run_from_wheel(wheel: Path, folder: Path, package: str, code: str) -> list[str]:
    """Run `code` with `package` imported from the wheel only, and return the words that it prints."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    ran = subprocess.run(
        [sys.executable, "-c", f"import {package}; print({package}.__file__)\n{code}"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    where, *words = ran.stdout.split()
    assert Path(where).is_relative_to(folder)
    return words


def compile_program(
    name: str,
    folder: Path,
    include: Path,
    sources: Iterable[Path],
    *,
    unchecked: Sequence[Path] = (),
    optimisation: str = "-O2",
) -> list[str]:
    """Compile a program that runs kernels, and return the command that runs it.

    Parameters
    ----------
    name
        Name of the program.
    folder
        Folder to write it to.
    include
        Folder with the headers.
    sources
        Source files.
    unchecked
        Sources that are compiled without the sanitizers.
    optimisation
        Option of the compiler.
    """
    flags = ["-std=c11", "-g", optimisation, "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    compiler = [*_COMPILER, *flags, f"-I{include}"]
    objects = []
    for source in unchecked:
        objects.append(folder / f"{source.stem}.o")
        subprocess.run([*compiler, "-c", str(source), "-o", str(objects[-1])], check=True)
    if not _RUNNER:
        compiler += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = folder / name
    files = map(str, [*sources, *objects])
    subprocess.run([*compiler, *files, "-o", str(built), "-lm"], check=True)
    return [*_RUNNER, str(built)]
