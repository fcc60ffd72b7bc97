"""New plugins: complete, right as they are, and never in the place of what is there.

``nox -s examples`` installs one of each kind, and runs its tests.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

from allin1_core.cli.main import COMMANDS, run
from allin1_core.plugins.collecting import collect_commands, collect_offers
from allin1_core.plugins.loading import BUILT_IN
from allin1_core.scaffold import writing
from allin1_core.scaffold.kinds import KINDS, OTHER_KINDS, STAGE_KINDS
from allin1_core.scaffold.writing import plugin_files, write_plugin
from allin1_core.testing.examining import find_target_faults
from allin1_core.testing.plugin_check import check_plugin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_every_folder_of_templates_is_a_kind_and_every_stage_has_one():
    folders = {path.name for path in writing._TEMPLATES.iterdir()}
    assert folders == {"common", *KINDS}
    assert len(STAGE_KINDS) == 6
    assert not STAGE_KINDS.keys() & OTHER_KINDS.keys()


def test_it_is_a_complete_distribution(kind):
    files = plugin_files("my-own", kind)
    package = "src/allin1_my_own"
    wanted = {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml"}
    wanted |= {f"{package}/{name}" for name in ("__init__.py", "hooks.py", "py.typed")}
    wanted |= {f"{package}/{kind.module}.py", "tests/test_plugin.py"}
    assert wanted <= files.keys()
    assert any(path.startswith("tests/") and path != "tests/test_plugin.py" for path in files)
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == "allin1-my-own"
    assert project["project"]["entry-points"]["allin1"] == {"my-own": "allin1_my_own.hooks"}
    for path, text in files.items():
        if path.endswith(".py"):
            ast.parse(text, path)
            assert all(len(line) <= 100 for line in text.splitlines()), path
        assert "PACKAGE" not in path + text
        assert "$" not in text.replace("${{ matrix.python }}", ""), path


def test_what_it_offers_is_right_and_its_targets_exist(
    kind, tmp_path, monkeypatch, isolated_plugins
):
    name = f"mine-{kind.name.replace('_', '-')}"
    write_plugin(name, kind, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    hooks = f"allin1_{name.replace('-', '_')}.hooks"
    plugins = isolated_plugins(strict=True, **{name: importlib.import_module(hooks)})
    assert collect_offers(plugins).problems == ()
    assert collect_commands(plugins, COMMANDS)[1] == ()
    assert find_target_faults(hooks) == {"faults": [], "missing": []}


@pytest.mark.parametrize(
    ("name", "unchecked"),
    [
        ("audio-loader", []),
        ("command", []),
        ("executor", []),
        ("exporter", []),
        ("policy", []),
        ("stem-provider", ["stems that it finds can be read"]),
    ],
)
def test_it_keeps_its_promises_as_it_is(name, unchecked, tmp_path, monkeypatch):
    write_plugin(f"new-{name}", KINDS[name], tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    verdicts = list(check_plugin(f"allin1_new_{name.replace('-', '_')}.hooks", measure=False))
    broken = [one for one in verdicts if one.state == "broken"]
    # It is not installed here.
    assert [one.promise for one in broken] == ["its entry point leads to its hooks"], broken
    assert [one.promise for one in verdicts if one.state == "not checked"] == unchecked


def test_the_command_writes_it_beside_and_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", "mine", "--stage", "nn"]) == 0
    out, err = capsys.readouterr()
    written = sorted(Path(line) for line in out.splitlines())
    found = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert written == found
    assert "cd allin1-mine; pip install -e" in err


def test_files_are_not_replaced_unless_it_is_asked_for(tmp_path, capsys):
    folder = tmp_path / "mine"
    command = ["plugin", "new", "mine", "--kind", "exporter", "--folder", str(folder)]
    folder.mkdir()
    (folder / "README.md").write_text("my own words")
    assert run(command) == 6
    assert "README.md exists. Choose another folder with --folder" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == "my own words"
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert run([*command, "--overwrite"]) == 0
    assert (folder / "README.md").read_text().startswith("# allin1-mine")


@pytest.mark.parametrize("name", ["auto", "Mine", "my_own", "2fast", "-x", "a b", "../x", ""])
def test_names_that_no_plugin_can_have_are_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", "--kind", "observer", "--", name]) == 2
    assert "is not a valid name of a plugin. Use lower-case letters" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine"], "either --stage or --kind"),
        (["mine", "--stage", "nn", "--kind", "model"], "either --stage or --kind"),
        (["mine", "--stage", "model"], "'model' is not one of 'demix'"),
        (["export", "--kind", "command"], "The core has a command export"),
    ],
)
def test_what_it_shall_be_has_to_be_said(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*BUILT_IN, "core", "allin1-core"])
def test_names_of_the_core_are_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", "--kind", "exporter", name]) == 2
    err = capsys.readouterr().err
    assert f"{name!r} is a name of allin1-core itself" in err
    assert "Choose a name other than reference, " in err
    assert list(tmp_path.iterdir()) == []
