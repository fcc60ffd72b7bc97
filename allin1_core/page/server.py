"""A local server for the pages of a folder of results, which can save corrections."""

from __future__ import annotations

import json
import math
import re
import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.errors import Allin1Error, InputError
from allin1_core.io.results import load_result, save_result
from allin1_core.page.assemble import asset, page_of
from allin1_core.page.content import (
    Pictures,
    Version,
    audio_files,
    audio_type,
    describe_song,
    draw_audio,
    stem_paths,
)
from allin1_core.page.scores import score_versions

#: Warning that is added to a result whose sections were changed by the user.
CORRECTED = "The sections were corrected by hand."

_MOST_BODY_BYTES = 50_000_000
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Entry:
    """A song, and the files of its results.

    Attributes
    ----------
    name
        Title.
    paths
        JSON of each result; the first one is shown first.
    """

    name: str
    paths: tuple[Path, ...]

    def versions(self) -> list[Version]:
        """Load the results."""
        names = [path.parent.name or path.stem for path in self.paths]
        if len(set(names)) < len(names):
            names = [str(path) for path in self.paths]
        return [Version(n, load_result(p)) for n, p in zip(names, self.paths, strict=True)]


class PageServer(ThreadingHTTPServer):
    """Serves the pages of `entries` on 127.0.0.1.

    Parameters
    ----------
    entries
        The songs.
    port
        Port to listen on; 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, entries: Sequence[Entry], port: int = 0) -> None:
        self.entries = list(entries)
        self.token = secrets.token_urlsafe(16)
        self.pictures = _PictureCache()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """Address of the start page, which is that of the song if there is only one."""
        path = "song/0" if len(self.entries) == 1 else ""
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _PictureCache:
    """A cache of the pictures of recently viewed songs, as reading an hour of audio takes seconds."""

    most = 8

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], Pictures] = {}
        self._lock = threading.Lock()

    def __call__(self, result: AnalysisResult, length_s: float) -> Pictures:
        """Like :func:`~allin1_core.page.content.draw_audio`."""
        song, stems = audio_files(result)
        files = [song] if song else []
        files += stem_paths(stems).values() if stems else ()
        states = (path.stat() for path in files)
        key = (length_s, *files, *((s.st_size, s.st_mtime_ns) for s in states))
        # One at a time, so that a page which is loaded twice at once is drawn once.
        with self._lock:
            drawn = self._kept.pop(key, None) or draw_audio(result, length_s)
            self._kept[key] = drawn
            if len(self._kept) > self.most:
                del self._kept[next(iter(self._kept))]
        return drawn


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: stderr is for errors."""

    def do_GET(self) -> None:
        """Answer with the list, a page, or audio."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Save a correction."""
        self._answer(self._post)

    def _answer(self, method: Any) -> None:
        try:
            # Prevents DNS rebinding: the host name of another site could resolve to this server.
            if self.headers.get("Host", "") not in self._hosts():
                self._send(HTTPStatus.FORBIDDEN, "This server only answers requests to 127.0.0.1.")
                return
            method()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Allin1Error as error:
            self._send(HTTPStatus.BAD_REQUEST, str(error))

    def _hosts(self) -> set[str]:
        port = self.server.server_port
        return {f"127.0.0.1:{port}", f"localhost:{port}"}

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._send(HTTPStatus.OK, self._index(), "text/html; charset=utf-8")
        elif found := re.fullmatch(r"/song/(\d+)", path):
            self._song(self._entry(found[1]), int(found[1]))
        elif found := re.fullmatch(r"/audio/(\d+)/(mix|bass|drums|other|vocals)", path):
            self._audio(self._entry(found[1]), found[2])
        else:
            self._send(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _entry(self, number: str) -> Entry | None:
        index = int(number) if len(number) < 10 else len(self.server.entries)
        return self.server.entries[index] if index < len(self.server.entries) else None

    def _index(self) -> str:
        items = "".join(
            f'<li><a href="/song/{i}">{escape(entry.name)}</a></li>'
            for i, entry in enumerate(self.server.entries)
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>allin1</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            f"<style>{asset('style.css')}</style></head>"
            f"<body><main><h1>Results</h1><ul>{items}</ul></main></body></html>"
        )

    def _song(self, entry: Entry | None, index: int) -> None:
        if entry is None:
            self._send(HTTPStatus.NOT_FOUND, "There is no such song.")
            return
        versions = entry.versions()
        content = describe_song(entry.name, versions, self.server.pictures)
        song, stems = audio_files(versions[0].result)
        content["audio"] = {
            "mix": f"/audio/{index}/mix" if song else None,
            "stems": {n: f"/audio/{index}/{n}" for n in (stem_paths(stems) if stems else ())},
        }
        content["scores"] = score_versions(versions)
        content["server"] = {"save": f"/save/{index}", "token": self.server.token}
        self._send(HTTPStatus.OK, page_of(content), "text/html; charset=utf-8")

    def _audio(self, entry: Entry | None, name: str) -> None:
        path = None
        if entry is not None:
            song, stems = audio_files(load_result(entry.paths[0], False, False))
            path = song if name == "mix" else stem_paths(stems)[name] if stems else None
        if path is None:
            self._send(HTTPStatus.NOT_FOUND, "The audio does not exist.")
            return
        try:
            file = path.open("rb")
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}.", path=path) from error
        with file:
            self._send_file(file, path.stat().st_size, audio_type(path))

    def _send_file(self, file: BinaryIO, size: int, kind: str) -> None:
        """Send a file or, to support seeking in a browser, the requested range of it."""
        first, last, status = 0, size - 1, HTTPStatus.OK
        asked = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", self.headers.get("Range", ""))
        if asked and (asked[1] or asked[2]):
            if asked[1]:
                first = int(asked[1])
                last = min(int(asked[2]), last) if asked[2] else last
            else:
                first = max(0, size - int(asked[2]))
            if first > last:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = HTTPStatus.PARTIAL_CONTENT
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(max(0, last - first + 1)))
        self.send_header("Accept-Ranges", "bytes")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        file.seek(first)
        left = last - first + 1
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            self.wfile.write(block)
            left -= len(block)

    def _post(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY_BYTES:
            self.close_connection = True
            self._send(HTTPStatus.BAD_REQUEST, "The correction is too large.")
            return
        body = self.rfile.read(int(length))
        url = urlsplit(self.path)
        found = re.fullmatch(r"/save/(\d+)", url.path)
        entry = self._entry(found[1]) if found else None
        version = parse_qs(url.query).get("version", ["0"])[0]
        if entry is None or not version.isdecimal() or int(version) >= len(entry.paths):
            self._send(HTTPStatus.NOT_FOUND, "There is no such result.")
            return
        given = self.headers.get("X-Allin1-Token", "")
        if not secrets.compare_digest(given.encode(), self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, "Reload the page to save.")
            return
        path = entry.paths[int(version)]
        save_correction(path, body)
        self._send(HTTPStatus.OK, f"Saved to {path}.")

    def _send(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def save_correction(path: Path, body: bytes) -> None:
    """Replace the sections of a result by corrected ones; the original result is kept next to it.

    Parameters
    ----------
    path
        The result's JSON.
    body
        JSON with ``segments``; everything else in it is ignored.

    Raises
    ------
    InputError
        The sections are invalid.
    OutputError
        The result cannot be read or written.
    """
    result = load_result(path)
    segments = _checked(body)
    kept = path.with_name(f"{path.name}.orig")
    if not kept.exists():
        shutil.copy2(path, kept)
    warnings = [w for w in result.warnings if w != CORRECTED]
    corrected = replace(result, segments=segments, warnings=[*warnings, CORRECTED])
    save_result(corrected, path.parent, path.name.removesuffix(".json"), overwrite=True)


def _checked(body: bytes) -> list[Segment]:
    try:
        given = json.loads(body)["segments"]
        segments = [Segment(float(s["start"]), float(s["end"]), s["label"]) for s in given]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"The sections are invalid ({type(error).__name__}).") from error
    last = -math.inf
    for one in segments:
        in_order = 0 <= one.start < one.end < math.inf and one.start >= last - 1e-6
        if not (in_order and isinstance(one.label, str) and one.label.isprintable()):
            raise InputError(f"The section from {one.start} to {one.end} is invalid.")
        last = one.end
    return segments
