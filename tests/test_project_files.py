"""Files for maintainers agree with each other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / ".pre-commit-config.yaml").exists():
    pytest.skip("these files are in the repository alone", allow_module_level=True)
PROJECTS = [ROOT / "pyproject.toml", *sorted((ROOT / "plugins").glob("*/pyproject.toml"))]


def test_pre_commit_takes_the_versions_of_the_constraints() -> None:
    pinned = dict(
        re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    )
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    used = re.findall(r"([\w-]+)==([\w.]+)", hooks)
    assert used
    assert [(name, pinned.get(name)) for name, _ in used] == used


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_distributions_have_the_version_of_the_core_and_what_belongs_to_one(project: Path) -> None:
    core = tomllib.loads(PROJECTS[0].read_text("utf-8"))["project"]
    own = tomllib.loads(project.read_text("utf-8"))["project"]
    assert own["version"] == core["version"]
    assert own["requires-python"] == core["requires-python"]
    assert own["license"] == "MIT"
    for name in ("README.md", "LICENSE", "CHANGELOG.md"):
        assert (project.parent / name).is_file()


def test_the_citation_has_the_version_of_the_core() -> None:
    core = tomllib.loads(PROJECTS[0].read_text("utf-8"))["project"]
    assert f"\nversion: {core['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_fragments_of_the_changelog_are_of_a_known_type() -> None:
    types = tomllib.loads(PROJECTS[0].read_text("utf-8"))["tool"]["towncrier"]["type"]
    known = "|".join(one["directory"] for one in types)
    for path in (ROOT / "changelog.d").iterdir():
        if path.name not in ("README.md", "template.jinja"):
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({known})\.md", path.name)


def test_pre_commit_finds_every_package_whose_imports_are_checked() -> None:
    config = tomllib.loads(PROJECTS[0].read_text("utf-8"))["tool"]["importlinter"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    (path,) = re.findall(r"PYTHONPATH=(\S+)", hooks)
    folders = [ROOT, *(ROOT / folder for folder in path.split(":"))]
    for package in config["root_packages"]:
        assert any((folder / package).is_dir() for folder in folders), package
