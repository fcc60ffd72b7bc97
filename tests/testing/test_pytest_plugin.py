"""What pytest has by the entry point: fixtures, and a mark on the standard tests."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

NAME = "allin1_core.testing.pytest_plugin"

TESTS = """
from allin1_core.markers import hookimpl
from allin1_core.plugins.collecting import collect_offers
from allin1_core.testing.conformance import MetricalPrepConformance

class TestReference(MetricalPrepConformance):
    hooks = "allin1_core.reference.hooks"
    backend = "reference"

    def test_of_my_own(self):
        pass

def test_plugins_are_isolated(isolated_plugins, make_plugin):
    plugins = isolated_plugins(mine=make_plugin(allin1_nn=lambda: []))
    assert [r.name for r in plugins.records if r.distribution != "allin1-core"] == ["mine"]
    assert collect_offers(plugins).problems == ()

def test_the_command_runs(run_allin1, tmp_path):
    ran = run_allin1("--version")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("allin1 ")
    assert run_allin1("export", tmp_path / "none.json").status == 2
"""


@pytest.fixture
def run_pytest(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text(TESTS)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-W", "error"]
        # As the entry point would, also where the package was installed before there was one.
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(
            [*command, "-p", NAME, "--strict-markers", *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )

    return run


def test_it_is_announced_to_pytest() -> None:
    found = [point.value for point in entry_points(group="pytest11")]
    if not any(value.startswith("allin1_core") for value in found):
        pytest.skip("the package was installed before it had the entry point")
    assert NAME in found


def test_importing_it_imports_nothing_of_the_core() -> None:
    code = (
        f"import sys, {NAME};"
        "print(*(m for m in sys.modules if m.startswith(('allin1_core', 'numpy', 'pluggy.'))"
        f" and m not in ('allin1_core', 'allin1_core.testing', {NAME!r})))"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [m for m in ran.stdout.split() if not m.startswith("pluggy.")] == []


def test_fixtures_are_there_and_standard_tests_have_the_mark(run_pytest) -> None:
    ran = run_pytest("-m", "not allin1_kit")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout
    assert "test_of_my_own" in ran.stdout
    listed = run_pytest("--collect-only", "-q", "-m", "allin1_kit").stdout
    assert "test_inputs_stay_as_they_were" in listed
    assert "test_of_my_own" not in listed
    assert "allin1_kit: a standard test of" in run_pytest("--markers").stdout
