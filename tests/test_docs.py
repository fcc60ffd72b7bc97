"""The documentation is executed, or compared with the code."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import allin1_core
from allin1_core import errors
from allin1_core.cli import main
from allin1_core.cli.main import COMMANDS, cli
from allin1_core.hookspecs import SPECS

DOCS = Path(__file__).resolve().parents[1] / "docs"
HOOKS = sorted(name for specs in SPECS for name in vars(specs) if name.startswith("allin1_"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(allin1_core.__path__, "allin1_core.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0


def test_every_hook_has_an_example_that_runs() -> None:
    for specs in SPECS:
        for name, function in vars(specs).items():
            if name.startswith("allin1_"):
                assert ">>>" in function.__doc__, name


def test_every_hook_is_in_the_table_and_the_table_has_no_other() -> None:
    text = (DOCS / "hooks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(allin1_\w+)\(([^)]*)\)`", text, re.MULTILINE)
    assert sorted(name for name, _ in rows) == HOOKS
    specs = {name: f for s in SPECS for name, f in vars(s).items() if name in HOOKS}
    for name, arguments in rows:
        code = specs[name].__code__
        expected = code.co_varnames[1 : code.co_argcount]
        assert [a.strip() for a in arguments.split(",") if a.strip()] == list(expected)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_table_and_has_help(name: str) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert f"| `allin1 {name}" in text
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output


def test_every_hook_has_a_recipe() -> None:
    text = (DOCS / "authors" / "recipes.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\((allin1_\w+)\)=$", text, re.MULTILINE)) == HOOKS


def test_every_error_is_in_the_table_with_its_exit_status() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    statuses = {
        name: int(status)
        for status, names in re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    classes = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.Allin1Error)
    }
    assert statuses == classes


def test_every_exit_status_is_in_the_table() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    documented = {int(number) for row in rows for number in row.split(",")}
    stated = re.findall(r"\d+", (main.__doc__ or "").partition("Exit status:")[2])
    assert documented == {int(number) for number in stated}


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    sections = text.partition("## Songs and stems")[2]
    explained = re.findall(r"^(\S.*)\n: ", sections, re.MULTILINE)
    assert len(explained) > 25
    said = messages()
    for message in explained:
        parts = [part.strip(" `") for part in message.split("…") if part.strip(" `.")]
        pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        assert any(pattern.search(one) for one in said), message


def messages() -> list[str]:
    """Every text in the core's code, with … where a value is put in."""
    found = []
    for file in Path(allin1_core.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                values = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                found.append("".join(map(str, values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_variable_of_the_environment_is_documented() -> None:
    package = Path(allin1_core.__file__).parent
    used = {
        name
        for file in package.rglob("*.py")
        for name in re.findall(r"\"(ALLIN1_[A-Z_]+)\"", file.read_text(encoding="utf-8"))
        if "testing" not in file.parts
    }
    text = (DOCS / "usage.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(ALLIN1_[A-Z_]+)`", text, re.MULTILINE))
    assert used - {"ALLIN1_API"} == documented


def test_options_of_analyze_that_the_documents_use_exist() -> None:
    known = {
        o for p in cli.get_command(None, "analyze").params for o in (*p.opts, *p.secondary_opts)
    }
    used = set()
    for document in (DOCS / "usage.md", DOCS.parent / "README.md"):
        text = document.read_text(encoding="utf-8")
        for line in re.findall(r"allin1 analyze[^\n`]*", text):
            used |= set(re.findall(r"(?<=\s)(--?[a-z][\w-]*)", line))
    assert used <= known, used - known
