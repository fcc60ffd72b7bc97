"""Every block of code in the documentation is run, or checked where it cannot be."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from blocks import DOCS, LANGUAGES, ROOT, Block, blocks_of, documents

from allin1_core.cli.main import COMMANDS, cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BLOCKS = [block for page in documents() for block in blocks_of(page)]

#: What the pages need besides the core; where it is missing they are skipped.
EXTRAS = ("matplotlib", "mir_eval", "jams", "mido")

#: Pages that are not run here: fragments, and what tests/test_api.py runs on a shorter song.
NOT_RUN = {DOCS / "plugins.md", DOCS / "python.md"}


def blocks_in(*languages: str) -> list[pytest.param]:
    """Parameters for the blocks in these languages."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language in languages]


def pages_with(*languages: str) -> list[pytest.param]:
    """Parameters for the pages that have blocks in these languages."""
    pages = {block.page for block in BLOCKS if block.language in languages}
    pages = sorted(page for page in pages - NOT_RUN if page.is_relative_to(DOCS))
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def test_every_block_says_what_it_is() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in documents()]
)
def test_prose_is_wrapped_at_120_columns(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # Code, formulas, and what scripts write, which begins with a comment that says so.
    text = re.sub(r"^( *)(```|\$\$).*?\2[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^<!-- .*?(^<!-- end -->$|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    unbroken = ("|", "#", "![", "    ")  # tables, headings, pictures, indented code
    assert [x for x in text.splitlines() if len(x) > 120 and not x.startswith(unbroken)] == []


@pytest.mark.parametrize("block", blocks_in("toml", "json", "yaml"))
def test_data_can_be_parsed(block: Block) -> None:
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:
        pytest.importorskip("yaml").safe_load(block.text)


@pytest.mark.parametrize("block", blocks_in("python"))
def test_python_is_right_and_imports_what_there_is(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("allin1_core"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"


@pytest.mark.parametrize("block", blocks_in("sh", "console"))
def test_commands_take_the_options_that_they_are_given(block: Block) -> None:
    for words in commands(block):
        if words[0].rpartition("/")[2] == "allin1":
            check_command(words[1:])
        elif words[:3] == ["python", "-m", "allin1_core"]:
            check_command(words[3:])


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block as words; those that are chained one by one."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word not in ("&&", "||", "|", ";"):
                words.append(word)
            elif words:
                yield words
                words = []


def check_command(words: list[str]) -> None:
    """Fail unless ``allin1`` has the command and options in `words`."""
    if not words:
        return
    words = [word for word in words if word != "…"]
    name = words[0] if words and words[0] in COMMANDS else "analyze"
    command = cli.get_command(None, name)
    arguments = words[1:] if words and words[0] in COMMANDS else words
    if isinstance(command, click.Group) and arguments:
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    if name == "analyze":  # whose --overwrite may stand alone
        arguments = [
            word.replace("--overwrite", "--overwrite=all") if word == "--overwrite" else word
            for word in arguments
        ]
    if arguments[:1] in (["--version"], ["--help"], ["--help-all"]):
        return
    with contextlib.redirect_stdout(io.StringIO()):
        context = click.Context(command, info_name=name, **cli.context_settings)
        values, _, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.params:
        value = values.get(parameter.name)
        checked = (click.Choice, click.IntRange, click.FloatRange)
        if isinstance(parameter.type, checked) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.fixture
def environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As on a machine that has never seen allin1, in a virtual environment into which the page may install things.

    What one page has analysed, the others find in the cache.
    """
    shared = tmp_path_factory.getbasetemp()
    own = tmp_path.with_name(f"{tmp_path.name}-environment")
    venv.create(own, symlinks=os.name != "nt")
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(own)}))
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # addsitedir, so that what is installed there in editable form is found, too.
        site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(own)}))
        line = f"import site; site.addsitedir({folder!r})\n"
        (site_packages / "tests.pth").write_text(line, encoding="utf-8")
    command = scripts / "allin1"
    command.write_text('#!/bin/sh\nexec python -m allin1_core "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ALLIN1_", "XDG_"))}
    environment.update(
        PATH=os.pathsep.join([str(scripts), os.environ["PATH"]]),
        ALLIN1_CACHE_DIR=str(shared / "cache"),
        ALLIN1_CACHE_LIMIT="200M",
        ALLIN1_CONFIG="",
        COLUMNS="120",
        MPLBACKEND="Agg",
        NO_COLOR="1",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    return environment


@pytest.mark.parametrize("page", pages_with("console", "python"))
def test_the_page_does_what_it_says(
    page: Path,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in EXTRAS:
        pytest.importorskip(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        if block.page != page:
            continue
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n", encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, str(block), "exec"), names)
        elif block.language == "console":
            for command, expected in transcript(block):
                run_command(command, expected, environment, str(block))


def transcript(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a transcript, each with the output that follows it."""
    for part in ("\n" + block.text).split("\n$ ")[1:]:
        lines = part.split("\n")
        count = 1
        while lines[count - 1].endswith("\\"):
            count += 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:]).strip("\n")


def run_command(command: str, expected: str, environment: dict[str, str], where: str) -> None:
    """Run a command, and compare what it prints with `expected`, in which ``...`` stands for anything.

    A last line ``[exit status N]`` says how it ends, if not well.
    """
    status = 0
    if expected.endswith("]") and "[exit status " in expected:
        expected, _, number = expected.rpartition("[exit status ")
        status = int(number.rstrip("]"))
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == status, f"{where}: {command}\n{done.stdout}"
    if expected.strip():
        assert fits(expected, done.stdout), (
            f"{where}: {command}\nprinted:\n{done.stdout}\nwanted:\n{expected}"
        )


def fits(expected: str, printed: str) -> bool:
    """Whether `printed` is what is expected, but for white space.

    Three dots stand for anything in a line; alone in a line for any number of lines, none included.
    """
    lines = (" ".join(line.split()) for line in expected.strip().splitlines())
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in lines
    )
    text = "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, text) is not None


def test_dots_stand_for_any_number_of_lines() -> None:
    assert fits("a\n...\nb ... d", "a\nb c d\n")
    assert fits("...\nb", "a\na\nb\n")
    assert not fits("a\n...", "b\na\n")
    assert not fits("a", "a\nb\n")
