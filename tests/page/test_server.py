"""The server of pages, without a browser."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.io.results import save_result
from allin1_core.page import server as server_module
from allin1_core.page.server import Entry, PageServer


def test_audio_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.full(44_100, 0.5, np.float32), 44_100)
    result = AnalysisResult(song, 120, [0.0, 0.5], [0.0], [1, 2], [Segment(0.0, 1.0, "verse")])
    path = save_result(result, tmp_path / "out", "song")

    drawn = []
    draw = server_module.draw_audio
    monkeypatch.setattr(
        server_module, "draw_audio", lambda *given: drawn.append(given) or draw(*given)
    )

    with PageServer([Entry("song", (path,))]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def page() -> str:
            with urllib.request.urlopen(server.url) as response:
                return response.read().decode()

        first = page()
        assert '"peaks"' in first
        assert (page(), len(drawn)) == (first, 1)

        # What is not of the audio is read each time.
        content = json.loads(path.read_text())
        content["segments"][0]["label"] = "bridge"
        path.write_text(json.dumps(content))
        assert '"label": "bridge"' in page().replace('":"', '": "')
        assert len(drawn) == 1

        soundfile.write(song, np.full(88_200, 0.5, np.float32), 44_100)
        assert page() != first
        assert len(drawn) == 2
        server.shutdown()
