"""The figures of machines, and the suite that measures them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allin1_core import suite
from allin1_core.cli.main import run as run_command
from allin1_core.contracts.model import AUTO_MODELS
from allin1_core.errors import BackendError, SelectionError
from allin1_core.io.documents import DocumentError
from allin1_core.measuring.machines import (
    FIGURES,
    Figure,
    Machine,
    from_json,
    load_references,
    report,
    table,
    to_json,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "machines.md"

FAST = Machine(
    "64 cores, Fast",
    "Linux",
    "allin1-core 1",
    "2026-11-28",
    "a test",
    (Figure("start", 0.1), Figure("nn builtin", 0.5, "cython on cpu")),
)
SLOW = Machine(
    "2 cores, Slow",
    "Linux",
    "allin1-core 1",
    "2026-11-28",
    "a test",
    (
        Figure("start", 0.2),
        Figure("nn builtin", 2.0, "reference on cpu"),
        Figure("demix harmonix-all", trouble="Demucs is not installed."),
    ),
)


def test_machines_survive_json():
    content = json.loads(json.dumps(to_json([FAST, SLOW])))
    assert from_json(content) == (FAST, SLOW)
    with pytest.raises(DocumentError, match="another version"):
        from_json({**content, "schema": 99})


def test_a_report_says_how_many_times_as_fast_this_machine_is_and_what_is_missing():
    text = report(FAST, [SLOW])
    assert "| network, 3 members | 0.5 | 2 (4×) |" in text
    assert "- network, 3 members: cython on cpu" in text
    assert "separation by" not in text  # nobody has measured it, and [1] was not asked
    assert "- separation by htdemucs: Demucs is not installed." in report(SLOW, [FAST])
    assert "×" not in table([FAST, SLOW])


def test_the_page_of_the_documentation_is_made_from_the_data_of_the_package():
    machines = load_references()
    assert machines
    assert PAGE.read_text(encoding="utf-8").endswith(f"\n\n{table(machines)}")
    for machine in machines:
        assert {figure.name for figure in machine.figures} <= FIGURES.keys()


def test_there_is_a_figure_for_every_stage_of_both_models(isolated_plugins):
    names = [task.name for task in suite.tasks(isolated_plugins())]
    assert names == list(FIGURES)
    assert {name.partition(" ")[2] for name in names} == {"", *AUTO_MODELS}


def test_what_fails_is_reported_and_the_rest_is_measured():
    def fail(error):
        raise error

    tasks = [
        suite.Task("start", lambda: (1.5, "")),
        suite.Task("song", lambda: fail(BackendError("It is broken."))),
        suite.Task("read-wav", lambda: fail(OSError("no disk"))),
        suite.Task("demix harmonix-all", lambda: fail(SelectionError("No backend."))),
        suite.Task("read-mp3", lambda: (2.5, "x on cpu")),
    ]
    told = []
    found = list(suite.run(tasks, lambda number, task: told.append((number, task.name))))
    assert [figure.seconds for figure in found] == [1.5, None, None, None, 2.5]
    assert [figure.trouble for figure in found[1:4]] == [
        "It is broken.",
        "OSError: no disk",
        "No backend.",
    ]
    assert told == [(n, task.name) for n, task in enumerate(tasks, 1)]


def test_nothing_is_begun_when_the_time_is_over():
    times = iter([0.0, 1.0, suite.BUDGET_S + 1])
    tasks = [suite.Task("start", lambda: (1.0, "")), suite.Task("song", lambda: (1.0, ""))]
    first, second = suite.run(tasks, lambda *_: None, lambda: next(times))
    assert first.seconds == 1.0
    assert second.seconds is None
    assert "skipped" in second.trouble


def test_a_stage_is_measured_for_three_minutes_by_the_backend_of_the_route(isolated_plugins):
    tasks = {task.name: task for task in suite.tasks(isolated_plugins())}
    seconds, backend = tasks["functional builtin"].measure()
    assert backend == "reference on cpu"
    assert 0 < seconds < 60
    # Without a separator the stages behind it are measured all the same.
    _, backend = tasks["spectrogram harmonix-all"].measure()
    assert backend == "reference on cpu"
    with pytest.raises(SelectionError):
        tasks["demix harmonix-all"].measure()


@pytest.mark.parametrize("suffix", suite.FORMATS)
def test_files_are_written_and_read(suffix, monkeypatch):
    monkeypatch.setattr(suite, "READ_S", 1.0)
    seconds, _ = suite._reading(suffix)
    assert seconds > 0


def test_a_process_that_fails_says_why():
    with pytest.raises(Exception, match="nowhere"):
        suite._process(["analyze", "/nowhere.wav"])


@pytest.fixture
def quick(monkeypatch):
    """A suite of one figure."""
    tasks = [suite.Task("start", lambda: (0.25, ""))]
    monkeypatch.setattr(suite, "tasks", lambda plugins, **options: tasks)


@pytest.mark.usefixtures("quick")
def test_the_command_prints_a_report_and_its_progress_apart_from_it(capsys):
    assert run_command(["bench", "--report"]) == 0
    out, err = capsys.readouterr()
    assert "| `allin1 --help` | 0.25 |" in out
    assert "[ 1 of 1] allin1 --help" in err
    assert "about two minutes" in err
    assert run_command(["bench", "--report", "--json"]) == 0
    (machine,) = from_json(json.loads(capsys.readouterr().out))
    assert machine.seconds("start") == 0.25
    assert "core" in machine.name


@pytest.mark.usefixtures("quick")
def test_the_command_writes_a_report_and_replaces_none(tmp_path, capsys):
    for name in ("mine.md", "mine.json"):
        path = tmp_path / name
        assert run_command(["bench", "--report", str(path)]) == 0
        assert capsys.readouterr().out == ""
        written = path.read_text(encoding="utf-8")
        assert "0.25" in written
        assert run_command(["bench", "--report", str(path)]) != 0
        assert "exists already" in capsys.readouterr().err
        assert path.read_text(encoding="utf-8") == written


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "arguments",
    [["mine.txt"], ["mine.md", "--json"], ["", "--stage", "nn"], ["", "--save"], ["", "-m", "x"]],
)
def test_what_says_nothing_of_a_report_is_wrong_use(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["bench", "--report", *arguments]) == 2
    assert list(tmp_path.iterdir()) == []
