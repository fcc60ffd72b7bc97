"""Shards of many songs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allin1_train import songs
from allin1_train.songs import LABELS, main, write_songs

# processes are forked, and newer versions of Python warn about that when NumPy has threads
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def soundfont() -> Path:
    path = Path(os.environ.get("ALLIN1_SOUNDFONT", ""))
    if not path.is_file():
        pytest.skip("needs a SoundFont: set ALLIN1_SOUNDFONT to FluidR3Mono_GM.sf3")
    return path


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use songs that cost no time; seed 13 fails."""

    def example(seed: int, font: Any) -> dict[str, Any]:
        if seed == 13:
            raise ValueError("unlucky")
        return {"x": np.full((4, 100, 81), seed, np.float16), "seed": seed}

    monkeypatch.setattr(songs, "SoundFont", lambda path: None)
    monkeypatch.setattr(songs, "example", example)


def test_a_shard_has_views_and_truth(soundfont: Path, tmp_path: Path) -> None:
    done = write_songs(tmp_path, soundfont, first=36, songs=1, procs=1)
    assert (done.songs, done.failures) == (1, [])
    with np.load(tmp_path / "0000036.npz") as z:
        song = {k: z[k] for k in z.files}
    frames = song["x"].shape[1]
    assert song["x"].shape == (4, frames, 81)
    assert song["x"].dtype == np.float16
    assert np.isfinite(song["x"]).all()
    assert song["labels"].shape == (frames,)
    assert song["labels"].dtype == np.int8
    assert set(song["labels"]) <= set(range(len(LABELS)))
    assert done.hours * 3600 == pytest.approx(frames / 100)
    for name in ("beats", "downbeats", "boundaries"):
        assert (np.diff(song[name]) > 0).all()
        assert song[name][-1] <= frames / 100
    # the label changes at boundaries only
    changes = np.flatnonzero(np.diff(song["labels"])) / 100
    assert all(np.abs(song["boundaries"] - c).min() <= 0.011 for c in changes)
    assert song["drums"].dtype == bool
    assert str(song["genre"])


def test_every_seed_becomes_one_shard(tiny: None, tmp_path: Path) -> None:
    done = write_songs(tmp_path / "new", "any", first=5, songs=7, procs=2)
    assert done.songs == 7
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        f"{s:07d}.npz" for s in range(5, 12)
    ]


def test_a_song_that_fails_is_counted_and_skipped(tiny: None, tmp_path: Path) -> None:
    done = write_songs(tmp_path, "any", first=12, songs=3, procs=2)
    assert done.songs == 2
    assert done.failures == ["seed 13: ValueError('unlucky')"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0000012.npz", "0000014.npz"]


def test_a_run_ends_if_most_songs_fail(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def example(seed: int, font: Any) -> dict[str, Any]:
        raise ValueError("always")

    monkeypatch.setattr(songs, "example", example)
    with pytest.raises(RuntimeError, match="always"):
        write_songs(tmp_path, "any", songs=20, procs=1)
    assert not list(tmp_path.iterdir())


def test_no_song_is_started_after_the_time_limit(tiny: None, tmp_path: Path) -> None:
    done = write_songs(tmp_path, "any", minutes=-1, procs=1)
    assert done.songs == 0


def test_a_silent_song_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(songs, "render", lambda song, font: np.zeros((2, 44100), np.float32))
    with pytest.raises(ValueError, match="silent"):
        songs.example(0, None)  # type: ignore[arg-type]


def test_the_command_reports_what_it_made(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), "--first", "3", "--songs", "2", "--procs", "1", "--soundfont", "any"])
    assert capsys.readouterr().out.startswith("rendered 2 songs")


def test_a_missing_soundfont_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no SoundFont"):
        write_songs(tmp_path, tmp_path / "none.sf3", songs=1, procs=1)
