"""The fuzzer finds what it is to find."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

#: A command line with one target, whose original is all bytes in turns and whose reader is put in.
SCRIPT = """
import os, sys, time
sys.path.insert(0, {folder!r})
from runner import Target, main
from allin1_core.errors import AudioError

def read(path):
    content = path.read_bytes()
    if content != ORIGINAL:
{body}

ORIGINAL = bytes(range(256)) * 40
targets = [Target("letters", ".txt", lambda folder: [ORIGINAL], read)]
if __name__ == "__main__":
    sys.exit(main(targets, [sys.executable, __file__], sys.argv[1:]))
"""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    import runner

    return runner


@pytest.fixture
def run(
    runner: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a reader with this body over some mutations, and give the status and what was printed."""

    def run(body: str, *arguments: str) -> tuple[int, str]:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.format(folder=str(HERE), body=textwrap.indent(body, " " * 8)))
        target = runner.Target("letters", ".txt", lambda folder: [], lambda path: None)
        arguments = arguments or ("--mutations", "3")
        status = runner.main([target], [sys.executable, str(script)], list(arguments))
        return status, capfd.readouterr().out

    return run


def test_a_reader_that_refuses_by_our_errors_passes(run: Callable[..., tuple[int, str]]) -> None:
    status, said = run('raise AudioError("is not audio.", path=path)')
    assert status == 0
    assert "3 mutations, 3 refused, 0 failures" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RecursionError('deep')", "RecursionError: deep (script.py:"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("os.abort()", "died, status -6"),
        ("block = b'1' * 250_000_000", "MB"),
    ],
)
def test_a_reader_that_fails_is_told_with_the_seed_that_repeats_it(
    run: Callable[..., tuple[int, str]], body: str, said: str
) -> None:
    status, printed = run(body, "--seed", "7", "--mutations", "3")
    assert status == 1
    assert "3 failures" in printed
    for seed in (7, 8, 9):
        assert f"--only letters --seed {seed} --mutations 1: " in printed
    assert said in printed


def test_a_reader_that_takes_long_is_told(run: Callable[..., tuple[int, str]]) -> None:
    body = """
    import runner
    runner.MOST_SECONDS = 0.01
    began = time.process_time()
    while time.process_time() < began + 0.03:
        pass
    """
    status, printed = run(textwrap.dedent(body), "--mutations", "1")
    assert status == 1
    assert "1 failures" in printed
    assert "took 0.0 s" in printed


def test_a_reader_that_hangs_is_told(
    run: Callable[..., tuple[int, str]], runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HANG_S", 4.0)
    status, printed = run("time.sleep(600)", "--mutations", "1")
    assert status == 1
    assert "said nothing for 4 s" in printed


def test_a_seed_gives_the_same_file_each_time_and_others_differ(runner: Any) -> None:
    originals = [bytes(range(256)) * 20, b"other" * 100]
    files = [runner.mutated(seed, originals) for seed in range(300)]
    assert files == [runner.mutated(seed, originals) for seed in range(300)]
    assert len(set(files)) > 250
    assert max(map(len, files)) < 50_000


def test_the_file_of_a_seed_can_be_kept(runner: Any, tmp_path: Path) -> None:
    target = runner.Target("letters", ".txt", lambda folder: [b"A" * 100], lambda path: None)
    path = tmp_path / "kept"
    assert runner.main([target], [], ["--keep", str(path), "--seed", "4"]) == 0
    assert path.read_bytes() == runner.mutated(4, [b"A" * 100])


def test_a_target_without_its_module_is_left_out(
    runner: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    target = runner.Target("none", ".x", lambda f: [b""], lambda path: None, needs="no_such_module")
    assert runner.main([target], [], ["--mutations", "1"]) == 0
    assert "left out: no_such_module is not installed" in capsys.readouterr().out
