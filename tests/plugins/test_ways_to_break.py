"""Ways to break a plugin, each named by 'allin1 plugin check' in a line that says what to do.

The table in docs/testing.md lists them; a test compares the two.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from ways_to_break import WAYS, Way
from ways_to_break.way import HEAD, WORK

from allin1_core.cli.main import run
from allin1_core.testing import examining
from allin1_core.testing.conformance import backend as backend_tests
from allin1_core.testing.conformance import plugin as plugin_tests

DOCS = Path(__file__).resolve().parents[2] / "docs"

_numbers = itertools.count()


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Install a plugin called ``mine`` as pip would, check it, and give the exit status and what was printed."""

    def install(distribution: str, package: str) -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[allin1]\nmine = {package}.hooks\n")

    def check(way: Way, *, twice: bool = False) -> tuple[int, str, str]:
        package = f"broken_{next(_numbers)}"
        folder = tmp_path / package
        folder.mkdir()
        work = WORK.replace("BODY", way.body).replace("AFTER", way.after) + way.work
        for name, source in (("__init__", ""), ("hooks", HEAD + way.hooks), ("work", work)):
            (folder / f"{name}.py").write_text(source.replace("PACKAGE", package))
        for number in range(2 if twice else 1):
            install(f"allin1_mine_{number}", package)
        monkeypatch.syspath_prepend(str(tmp_path))
        if not way.real:
            clean = examining.ImportReport(0.0, (), "", "")
            for module in (backend_tests, plugin_tests):
                monkeypatch.setattr(module, "examine_import", lambda *_: clean)
            monkeypatch.setattr(plugin_tests, "import_time", lambda *_: 0.0)
            monkeypatch.setattr("allin1_core.testing.plugin_check.import_time", lambda *_: 0.0)
            monkeypatch.setattr(plugin_tests, "examine_targets", _targets_in_this_process)
        monkeypatch.setattr("allin1_core.testing.watching.PATIENCE_S", 0.05)
        status = run(["plugin", "check", "mine", "--no-timing"])
        return status, capsys.readouterr().out, package

    return check


def _targets_in_this_process(hooks: str) -> examining.TargetReport:
    found = examining.find_target_faults(hooks)
    return examining.TargetReport(tuple(found["faults"]), tuple(found["missing"]), "")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_each_way_is_named_in_a_line_that_says_what_to_do(check, way):
    status, out, package = check(way)
    words = way.words.replace("PACKAGE", package)
    lines = [line for line in out.splitlines() if line.startswith("  BROKEN") and words in line]
    assert lines, out
    assert status == 1


def test_a_right_plugin_keeps_every_promise(check):
    status, out, _ = check(Way("nothing is wrong", "", real=True))
    assert "BROKEN" not in out
    assert re.search(r"^\d\d kept, 0 broken, \d+ not checked here$", out, re.MULTILINE)
    assert status == 0


def test_two_distributions_of_one_name_are_named_both(check):
    status, out, _ = check(WAYS[0], twice=True)
    assert status == 1
    assert "allin1_mine_0 and allin1_mine_1 both provide a plugin of this name" in out
    assert "Uninstall one: pip uninstall allin1_mine_" in out


def test_the_table_lists_every_way_and_no_other():
    text = (DOCS / "testing.md").read_text(encoding="utf-8")
    table = text.partition("## Ways to break a plugin")[2]
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", table, re.MULTILINE)
    assert rows[1:] == [way.title for way in WAYS]
    assert len(WAYS) >= 30


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("torhc", 5, "There is no plugin torhc."),
        ("reference", 5, "Plugin reference is the core's, which has tests of its own."),
    ],
)
def test_plugins_that_cannot_be_checked(capsys, name, status, words):
    assert run(["plugin", "check", name]) == status
    assert words in capsys.readouterr().err
