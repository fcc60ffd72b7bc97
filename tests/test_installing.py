"""Commands that install this project's distributions, from where the core was installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from allin1_core import installing
from allin1_core.installing import install_command


@pytest.fixture
def installed_from(monkeypatch):
    """Let the core be installed as `record` says."""

    def set_record(record):
        class Distribution:
            def read_text(self, name):
                assert name == "direct_url.json"
                return None if record is None else json.dumps(record)

        monkeypatch.setattr(installing, "distribution", lambda name: Distribution())
        installing._clone.cache_clear()

    yield set_record
    installing._clone.cache_clear()


@pytest.fixture
def clone(tmp_path) -> Path:
    root = tmp_path / "my clone"
    (root / "plugins" / "allin1-torch").mkdir(parents=True)
    for folder in (root, root / "plugins" / "allin1-torch"):
        (folder / "pyproject.toml").touch()
    return root


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"url": "file:///nowhere", "dir_info": {}},
        {"url": "file:///tmp/allin1_core-0.1.0-py3-none-any.whl", "archive_info": {}},
        {"url": "https://example.org/allin1", "vcs_info": {}},
    ],
)
def test_what_came_from_an_index_is_installed_by_name(installed_from, record):
    installed_from(record)
    assert install_command("allin1-torch") == "pip install allin1-torch"
    assert install_command("allin1-core", "av") == 'pip install "allin1-core[av]"'


def test_what_came_from_a_clone_is_installed_from_there(installed_from, clone):
    installed_from({"url": clone.as_uri(), "dir_info": {}})
    torch = clone / "plugins" / "allin1-torch"
    assert install_command("allin1-torch", "demucs") == f'pip install "{torch}[demucs]"'
    upgrade = install_command("allin1-core", options="--upgrade")
    assert upgrade == f'pip install --upgrade "{clone}"'
    assert install_command("other") == "pip install other"


def test_no_message_names_a_distribution_of_this_project_for_pip_by_itself():
    root = Path(installing.__file__).parents[1]
    folders = [root / "allin1_core", *root.glob("plugins/*/src")]
    raw = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for folder in folders
        for path in folder.rglob("*.py")
        # Templates are other people's distributions; allin1-compat speaks before the core is there.
        if not {"templates", "allin1-compat"} & {*path.parts} and path.name != "installing.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"pip install.*allin1-", line)
    ]
    assert raw == []
