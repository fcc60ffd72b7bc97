"""Copies of the same code in several distributions are identical."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "kernels" / "copy_isa.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs a checkout of the repository")


def test_every_distribution_has_the_instruction_sets_as_they_are_written() -> None:
    script = runpy.run_path(str(SCRIPT))
    files = sorted(script["SOURCE"].iterdir())
    assert [file.name for file in files if file.suffix == ".c"] == ["isa.c"]
    for folder in script["FOLDERS"]:
        own = {path.name for path in folder.glob("isa*")}
        assert own == {file.name for file in files}, f"run python {SCRIPT}"
        for file in files:
            copied = (folder / file.name).read_bytes()
            assert copied == file.read_bytes(), f"{folder / file.name}: run python {SCRIPT}"


def test_copying_makes_the_copies_again(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    (tmp_path / "isa.c").write_text("changed")
    script["main"].__globals__["FOLDERS"] = (tmp_path,)
    script["main"]()
    assert (tmp_path / "isa.c").read_bytes() == (script["SOURCE"] / "isa.c").read_bytes()
