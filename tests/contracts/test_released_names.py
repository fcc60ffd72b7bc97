"""This tree still has every public name of the last release, as docs/contract.md promises."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from allin1_core.hookspecs import SPECS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "public_names.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs a checkout of the repository")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("public_names", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_of_the_last_release_is_lost(script) -> None:
    released = json.loads(script.RELEASED.read_text(encoding="utf-8"))
    assert script.lost(released, script.public_names()) == []


def test_what_was_released_is_described_in_full(script) -> None:
    released = json.loads(script.RELEASED.read_text(encoding="utf-8"))
    backend = released["allin1_core.contracts.backend"]["Backend"]
    assert backend["fields"][:4] == ["name", "stage", "target", "summary="]
    hooks = {n for names in released["allin1_core.hookspecs"].values() if names != "value"
             for n in names["members"]}  # fmt: skip
    assert hooks <= {name for specs in SPECS for name in vars(specs)}
    assert "allin1_select_route" in hooks


def test_the_hooks_and_every_record_of_them_are_public(script) -> None:
    modules = script.public_modules()
    text = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    records = re.search(r"^Records: .*?\n\n", text, re.MULTILINE | re.DOTALL)[0]
    for module in re.findall(r"\(`…(\w+)`\)", records):
        assert f"allin1_core.contracts.{module}" in modules


@dataclass
class Before:
    name: str
    speed: float = 0.0

    def validate(self, strict=True): ...


def before(data, task, *, limit=None): ...


def changed(kind):
    """The class, or the function, as a later release has it."""

    @dataclass
    class More(Before):
        extra: int = 0

        def validate(self, strict=True, deep=False): ...

    @dataclass
    class Renamed:
        name: str
        rate: float = 0.0

        def validate(self, strict=True): ...

    @dataclass
    class Needed:
        name: str
        extra: int
        speed: float = 0.0

        def validate(self, strict=True): ...

    @dataclass
    class Exchanged:
        name: str
        other: list = field(default_factory=list)
        speed: float = 0.0

        def validate(self, strict=True): ...

    @dataclass
    class Poorer:
        name: str
        speed: float = 0.0

    def more(data, task, *, limit=None, order=None): ...

    def needing(data, task, order, *, limit=None): ...

    return locals()[kind]


@pytest.mark.parametrize(
    ("old", "new", "losses"),
    [
        (Before, "More", []),
        (Before, "Renamed", ["a.b has no speed any more.", "a.b.speed is gone."]),
        (Before, "Needed", ["a.b has speed in another place.", "a.b needs extra, which is new."]),
        (Before, "Exchanged", ["a.b has speed in another place."]),
        (Before, "Poorer", ["a.b.validate is gone."]),
        (before, "more", []),
        (before, "needing", ["a.b needs order, which is new."]),
    ],
)
def test_breaking_and_compatible_changes_are_distinguished(
    script, monkeypatch, old, new, losses
) -> None:
    new = changed(new)
    for kind in (old, new):
        if isinstance(kind, type):
            monkeypatch.setattr(kind, "__module__", "allin1_core.contracts.test")
    found = script.lost({"a": {"b": script.describe(old)}}, {"a": {"b": script.describe(new)}})
    assert sorted(found) == sorted(losses)


def test_a_lost_name_is_reported(script) -> None:
    assert script.lost({"a": {"b": "value"}}, {"a": {}}) == ["a.b is gone."]
    assert script.lost({"a": {"b": "value"}}, {"a": {"b": []}}) == ["a.b is something else."]
