"""Assembles the page as a single HTML file from template, style and modules, without a build step."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from allin1_core.io.atomic import atomic_path
from allin1_core.page.content import (
    Version,
    audio_files,
    describe_song,
    embedded,
    stem_paths,
)

#: Modules of the page. ``main`` is executed, and imports the others.
MODULES = ("clock", "document", "keyboard", "main", "timeline", "transport")

#: Line of the template by which a page is recognised.
_GENERATOR = b'<meta name="generator" content="allin1">'

#: Default limit in bytes for embedded audio.
EMBED_LIMIT = 50_000_000


def write_page(
    path: str | os.PathLike[str],
    name: str,
    versions: Sequence[Version],
    *,
    embed_limit: int = EMBED_LIMIT,
) -> None:
    """Write a page that opens from the disk, without a network or a server.

    Parameters
    ----------
    path
        The HTML file; it is written atomically.
    name, versions
        As for :func:`~allin1_core.page.content.describe_song`.
    embed_limit
        Limit in bytes for embedded audio; a larger song is linked. Stems are embedded if they fit into the rest.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    content = describe_song(name, versions)
    content["audio"] = _audio(Path(path), versions[0], embed_limit)
    with atomic_path(path) as temporary:
        temporary.write_text(page_of(content), encoding="utf-8")


def is_page(file: BinaryIO) -> bool:
    """Whether :func:`write_page` has written a file."""
    return _GENERATOR in file.read(1000)


def page_of(content: dict[str, Any]) -> str:
    """Assemble the page of a song; `content` is the data for its script."""
    scripts = {f"allin1/{name}": _module_url(name) for name in MODULES}
    data = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    return (
        asset("page.html")
        .replace("{{title}}", _escaped(str(content["name"])))
        .replace("{{style}}", asset("style.css"))
        .replace("{{modules}}", json.dumps({"imports": scripts}))
        .replace("{{data}}", data)
    )


def asset(name: str) -> str:
    """Read an asset of the package."""
    return (resources.files("allin1_core.page") / "assets" / name).read_text(encoding="utf-8")


def _module_url(name: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(asset(f'{name}.js').encode()).decode()}"


def _audio(page: Path, version: Version, limit: int) -> dict[str, Any]:
    song, stems = audio_files(version.result)
    left = limit
    source = None
    if song is not None:
        source, left = _source(page, song, left)
    audio: dict[str, Any] = {"mix": source, "stems": {}}
    if stems is not None:
        for stem, path in stem_paths(stems).items():
            audio["stems"][stem], left = _source(page, path, left)
    return audio


def _source(page: Path, file: Path, left: int) -> tuple[str, int]:
    """URL of an audio file, and the number of bytes that may still be embedded."""
    size = file.stat().st_size
    if size <= left:
        return embedded(file), left - size
    try:
        relative = os.path.relpath(file.resolve(), page.parent.resolve())
    except ValueError:  # on another drive
        return file.resolve().as_uri(), left
    raw = os.fsencode(relative.replace(os.sep, "/"))
    return quote(raw, safe="/"), left


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
