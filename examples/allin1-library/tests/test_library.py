"""The plugin as users meet it: found by its entry point, and used by the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.cli.main import run
from allin1_core.contracts.audio import STEMS
from allin1_core.testing.conformance import PluginConformance
from allin1_core.testing.signals import music_mix, music_stems

RATE = 44_100


@pytest.fixture
def npz_song(tmp_path: Path) -> Path:
    """A song of four seconds in an archive, at half the usual rate."""
    mix = music_stems(4.0).samples.sum(axis=0).T[::2].astype(np.float32)
    path = tmp_path / "song.npz"
    np.savez(path, samples=np.ascontiguousarray(mix), rate=RATE // 2)
    return path


def analyze(song: Path, out: Path) -> dict:
    assert run(["analyze", "-m", "builtin", "--only", "beats", "-o", str(out), str(song)]) == 0
    return json.loads((out / "song.json").read_text("utf-8"))


class TestPlugin(PluginConformance):
    hooks = "allin1_library.hooks"

    def song_with_stems(self, folder: Path) -> Path:
        """Write a song, and its stems where the plugin looks for them."""
        stems = folder / "song (stems)"
        stems.mkdir()
        song = folder / "song.wav"
        for path in (song, *(stems / f"{name}.wav" for name in STEMS)):
            soundfile.write(path, music_mix(1.0).samples.T, RATE)
        return song


def test_every_hook_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    hooks = {one["hook"]: one["text"] for one in content["hooks"] if one["plugin"] == "library"}
    assert hooks["allin1_commands"] == "setlist"
    assert hooks["allin1_audio_loaders"] == "npz"
    assert {"allin1_find_stems", "allin1_result_written"} < set(hooks)
    assert not [one for one in content["problems"] if one["plugin"] == "library"]


def test_help_lists_the_command_and_does_not_import_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sys.modules.pop("allin1_library.setlist", None)
    assert run(["--help"]) == 0
    assert "setlist  Print songs in the order of tempo." in capsys.readouterr().out
    assert "allin1_library.setlist" not in sys.modules


def test_a_song_in_an_archive_is_analysed_and_stands_in_the_index_and_the_setlist(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, npz_song: Path
) -> None:
    out = tmp_path / "struct"
    result = analyze(npz_song, out)
    (file,) = result["provenance"]["input"]["files"]
    assert file["format"] == "NPZ"
    assert file["decoder"].startswith("library/npz")
    assert (out / "index.csv").read_text() == f"song,{result['bpm']},0\n"
    capsys.readouterr()
    assert run(["setlist", str(out)]) == 0
    assert capsys.readouterr().out == f"{result['bpm']:4}  song\n"


def test_a_damaged_archive_is_an_error_that_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, npz_song: Path
) -> None:
    npz_song.write_bytes(npz_song.read_bytes()[:-100])
    assert run(["analyze", "-o", str(tmp_path), str(npz_song)]) == 3
    assert "song.npz: is damaged: File is not a zip file" in capsys.readouterr().err


def test_an_archive_of_something_else_is_no_song(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    assert run(["analyze", "-o", str(tmp_path), str(tmp_path / "other.npz")]) == 3
    assert "is not audio that" in capsys.readouterr().err


def test_a_setlist_of_nothing_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["setlist", str(tmp_path)]) == 3
    assert "There is no result with a tempo." in capsys.readouterr().err


def test_stems_beside_the_song_are_found(tmp_path: Path) -> None:
    from allin1_library.hooks import allin1_find_stems

    song = tmp_path / "song.wav"
    assert allin1_find_stems(song) is None
    folder = tmp_path / "song (stems)"
    folder.mkdir()
    for name in STEMS:
        soundfile.write(folder / f"{name}.wav", np.zeros(100), RATE)
    found = allin1_find_stems(song)
    assert list(found.validate().files) == list(STEMS)
