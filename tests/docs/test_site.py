"""The built site holds everything that it has to hold; ``ALLIN1_SITE`` names its folder."""

from __future__ import annotations

import html
import importlib
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from blocks import ROOT

import allin1_core
from allin1_core import contracts, errors
from allin1_core.cli.main import COMMANDS, cli
from allin1_core.hookspecs import SPECS

inventory = pytest.importorskip("sphinx.util.inventory", reason="needs Sphinx")
if not os.environ.get("ALLIN1_SITE"):
    pytest.skip("ALLIN1_SITE names no built site; nox -s docs does", allow_module_level=True)
SITE = Path(os.environ["ALLIN1_SITE"])


@pytest.fixture(scope="module")
def described() -> dict[str, set[str]]:
    """Names that the site describes, by kind."""
    found = inventory.InventoryFile.loads((SITE / "objects.inv").read_bytes(), uri="")
    return {kind: set(names) for kind, names in found.data.items()}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups and their commands included."""
    for name in COMMANDS:
        command = cli.get_command(None, name)
        yield f"allin1-{name}", command
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield f"allin1-{name}-{inner}", one


def test_every_option_is_described_or_a_flag_of_the_original(
    described: dict[str, set[str]],
) -> None:
    compatibility = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    missing = []
    for program, command in commands():
        for option in (p for p in command.params if isinstance(p, click.Option)):
            for flag in (*option.opts, *option.secondary_opts):
                if option.hidden:
                    known = f"`{flag}" in compatibility or flag == "--help-all"
                else:
                    known = bool(option.help) and f"{program}.{flag}" in described["std:cmdoption"]
                if not known:
                    missing.append(f"{program} {flag}")
    assert missing == []


def public_modules() -> list[str]:
    """Modules whose names are public, by the table that says so, besides allin1_core itself."""
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(allin1_core\.[\w.]+)` \|", text, re.MULTILINE)
    found = []
    for name in listed:
        if name.endswith("_plugin"):
            continue  # loaded by mypy or pytest, which have to be installed for it
        module = importlib.import_module(name)
        path = module.__path__ if module is contracts else []
        found += [f"{name}.{one.name}" for one in pkgutil.iter_modules(path)] or [name]
    assert "allin1_core.contracts.backend" in found
    return found


def public_names(module: str) -> list[str]:
    """Functions and classes that a module defines, or the names that it says are public."""
    loaded = importlib.import_module(module)
    listed = getattr(loaded, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and f"{value.__module__}.".startswith(f"{module}.")
    ]


def test_every_public_name_is_described(described: dict[str, set[str]]) -> None:
    names = set().union(*(found for kind, found in described.items() if kind.startswith("py:")))
    wanted = {
        f"allin1_core.{name}"
        for name in allin1_core.__all__
        if name not in ("__version__", "Allin1Error", "BatchError")  # those of allin1_core.errors
    }
    for module in public_modules():
        wanted |= {f"{module}.{name}" for name in public_names(module)}
    assert sorted(wanted - names) == []


def test_every_hook_is_described(described: dict[str, set[str]]) -> None:
    wanted = {
        f"allin1_core.hookspecs.{specs.__name__}.{name}"
        for specs in SPECS
        for name in vars(specs)
        if name.startswith("allin1_")
    }
    assert wanted
    assert sorted(wanted - described["py:method"]) == []


def test_every_error_is_described(described: dict[str, set[str]]) -> None:
    wanted = {
        f"allin1_core.errors.{name}"
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.Allin1Error)
    }
    assert sorted(wanted - described["py:exception"] - described.get("py:class", set())) == []


class _Page(HTMLParser):
    """Links of a page, what they can lead to, and what it fetches from elsewhere."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.fetched: set[str] = set()
        self.unlabelled_pictures = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if tag == "a" and given.get("href"):
            self.links.add(str(given["href"]))
        source = given.get("src") or (given.get("href") if tag == "link" else None)
        if source:
            self.links.add(source)
            if urlsplit(source).netloc and given.get("rel") != "canonical":
                self.fetched.add(source)
        if tag == "img" and given.get("alt") is None:
            self.unlabelled_pictures += 1


@pytest.fixture(scope="module")
def pages() -> dict[Path, _Page]:
    return {path.resolve(): _Page(path) for path in sorted(SITE.rglob("*.html"))}


def test_no_link_within_the_site_is_dead(pages: dict[Path, _Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(html.unescape(link))
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                dead.append(f"{path.relative_to(SITE.resolve())}: {link}")
    assert dead == []


def test_pages_fetch_nothing_from_elsewhere_and_pictures_have_a_text(
    pages: dict[Path, _Page],
) -> None:
    assert {path.name: page.fetched for path, page in pages.items() if page.fetched} == {}
    assert [path.name for path, page in pages.items() if page.unlabelled_pictures] == []


def test_every_formula_was_understood(pages: dict[Path, _Page]) -> None:
    # What the converter does not know stays as it was written.
    for path in pages:
        for formula in re.findall(r"<math.*?</math>", path.read_text(encoding="utf-8"), re.DOTALL):
            assert not re.search(r"\\|<mi>&</mi>", formula), (path.name, formula)
