"""Plugins that are written for a test, and what the kit says of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from allin1_core.testing.verdicts import run_tests, words_of

_numbers = itertools.count()


@pytest.fixture
def write_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write modules of a package of its own, in whose sources PACKAGE is its name; gives that."""

    def write(**sources: str) -> str:
        package = f"package_of_a_test_{next(_numbers)}"
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source.replace("PACKAGE", package))
        monkeypatch.syspath_prepend(str(tmp_path))
        return package

    return write


@pytest.fixture
def broken_promises() -> Callable[..., dict[str, str]]:
    """Run the standard tests of a class, or those of some promises only; gives what it says, by the test that fails."""

    def run(
        base: type, *, without: tuple[str, ...] = (), only: tuple[str, ...] = (), **members: object
    ) -> dict[str, str]:
        kind = type("TestOfATest", (base,), members)
        if only:
            without = tuple(name for name in dir(kind) if words_of(name) not in only)
        verdicts = run_tests(kind, "a test", without=without)
        return {one.promise: one.text for one in verdicts if one.state == "broken"}

    return run
