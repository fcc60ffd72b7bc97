"""Code blocks of the documentation: where they stand, and what is to be done with each.

============== ==========================================================================================
``console``    run in a shell, page by page in a folder of its own; what follows a command is its output
``python``     run in order, page by page, in one namespace; where the first line is a comment with a path,
               written to that file instead
``sh``         not run, since it needs a network, weights or a device; its commands are checked
``toml``       parsed
``json``       parsed
``text``       shown only: output that depends on the machine, a tree of files, a formula
============== ==========================================================================================

Indented blocks count as ``sh``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

LANGUAGES = ("console", "python", "sh", "toml", "json", "yaml", "text")

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")


@dataclass(frozen=True)
class Block:
    """A block of code in a document."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}"

    @property
    def file(self) -> str | None:
        """The path in the first line, of a block that is the content of a file."""
        found = re.match(r"# ([\w./-]+\.(?:py|toml))$", self.text.splitlines()[0])
        return found[1] if found else None


def documents() -> list[Path]:
    """Every document of the site, and those of the repository that the site shows."""
    found = [p for p in DOCS.rglob("*.md") if "_build" not in p.parts]
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md")  # a source archive has the first alone
    found += [ROOT / name for name in names if (ROOT / name).exists()]
    found += sorted((ROOT / "plugins").glob("*/README.md"))
    found += sorted((ROOT / "examples").glob("*/README.md"))
    return sorted(found)


def blocks_of(page: Path) -> Iterator[Block]:
    """Give the blocks of `page`, but for Sphinx' directives."""
    lines = page.read_text(encoding="utf-8").splitlines()
    index = 0
    while index < len(lines):
        start = index
        opening = _FENCE.match(lines[index])
        index += 1
        if opening:
            body = []
            while index < len(lines) and lines[index].strip() != opening["fence"]:
                body.append(lines[index].removeprefix(opening["indent"]))
                index += 1
            index += 1
            language = opening["info"].strip()
            if not language.startswith("{"):
                yield Block(page, start + 1, language, "\n".join(body))
        elif _is_indented(lines, start):
            while index < len(lines) and (
                not lines[index].strip() or lines[index].startswith("    ")
            ):
                index += 1
            body = [line[4:] for line in lines[start:index]]
            yield Block(page, start + 1, "sh", "\n".join(body).rstrip())


def _is_indented(lines: list[str], index: int) -> bool:
    """Whether an indented block begins here, rather than a list goes on."""
    if not re.match(r"    \S", lines[index]) or (index and lines[index - 1].strip()):
        return False
    before = [line for line in lines[:index] if line.strip()]
    return not before or not re.match(r" *(?:[-*+]|\d+\.) |  +\S", before[-1])
