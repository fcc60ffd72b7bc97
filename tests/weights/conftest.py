"""Small models with seeded parameters, and a server on this machine that gives them, or fails to."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allin1_core.contracts.model import ModelCard, WeightsFile


@dataclass
class Answer:
    """What the server says at one path."""

    body: bytes = b""
    status: int = 200
    #: Content-Length, where it is not the truth.
    length: int | None = None
    #: Set by the server once half of the body is sent; it then waits for `release`.
    half_sent: threading.Event = field(default_factory=threading.Event)
    release: threading.Event | None = None


class Server:
    """Serves `answers` by path on 127.0.0.1 and remembers what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                answer = outer.answers.get(self.path, Answer(status=404))
                length = len(answer.body) if answer.length is None else answer.length
                self.send_response(answer.status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                half = len(answer.body) // 2
                self.wfile.write(answer.body[:half])
                if answer.release is not None:
                    self.wfile.flush()
                    answer.half_sent.set()
                    answer.release.wait(timeout=60)
                self.wfile.write(answer.body[half:])

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # clients that hang up are part of these tests

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, path: str, **how: Any) -> Answer:
        """Set the answer at `path`; see :class:`Answer`."""
        self.answers[path] = Answer(**how)
        return self.answers[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}{path}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test; returns its folder of weights."""
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="session")
def contents() -> list[bytes]:
    """Three files of parameters, larger than one piece of a download."""
    files = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            **{
                "layer.weight": rng.standard_normal((200, 250)).astype(np.float32),
                "layer.bias": rng.standard_normal(200).astype(np.float32),
            },
        )
        files.append(buffer.getvalue())
    return files


MakeCard = Callable[..., ModelCard]


@pytest.fixture
def make_card() -> MakeCard:
    """Make a card of files with these contents, file k at the addresses that `urls` gives for it."""

    def make(*contents: bytes, urls: Callable[[str], tuple[str, ...]] = lambda _: ()) -> ModelCard:
        files = []
        for k, content in enumerate(contents):
            name = f"member{k}.npz"
            digest = hashlib.sha256(content).hexdigest()
            files.append(WeightsFile(name, digest, len(content), urls(name)))
        return ModelCard(
            name="small",
            summary="Seeded parameters",
            files=tuple(files),
            downbeat_threshold=0.2,
            licence="Nobody owns random numbers.",
            source="tests",
        )

    return make


@pytest.fixture
def served(server: Server, contents: list[bytes], make_card: MakeCard) -> ModelCard:
    """A card whose three files the server gives."""
    for k, content in enumerate(contents):
        server.answer(f"/member{k}.npz", body=content)
    return make_card(*contents, urls=lambda name: (server.url(f"/{name}"),))
