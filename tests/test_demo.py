from __future__ import annotations

import json
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from allin1_core.cli.demo import command
from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.demo import demo_files, write_demo
from allin1_core.errors import OutputError
from allin1_core.evaluation import read_reference
from allin1_core.io.audio import read_audio
from allin1_core.io.stems import find_stems, read_stems


def read_16_bit(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int64)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Fast, and so short: what is tested holds at any tempo.
    return write_demo(tmp_path_factory.mktemp("demo") / "song", bpm=240)


def test_the_files_are_those_that_it_says(demo: Path) -> None:
    written = sorted(path for path in demo.rglob("*") if path.is_file())
    assert written == sorted(demo_files(demo))
    assert [path.name for path in demo_files(demo)] == [
        "song.wav",
        *(f"{name}.wav" for name in STEMS),
        "truth.json",
    ]


def test_the_mix_is_the_sum_of_the_stems_and_does_not_clip(demo: Path) -> None:
    stems = [read_16_bit(demo / "stems" / f"{name}.wav") for name in STEMS]
    mix = read_16_bit(demo / "song.wav")
    np.testing.assert_array_equal(np.sum(stems, axis=0), mix)
    assert 0.85 * 32_767 < np.abs(mix).max() < 0.95 * 32_767
    assert all(np.abs(stem).max() > 0.1 * 32_767 for stem in stems)


def test_it_can_be_read_as_a_mix_and_as_stems(demo: Path) -> None:
    mix, info = read_audio(demo / "song.wav")
    stems, _, warnings = read_stems(find_stems(demo / "stems"))
    assert mix.shape[1] == stems.validate().samples.shape[2]
    assert info.duration_s == pytest.approx(45, abs=0.001)
    assert warnings == []


def test_the_truth_is_a_song_in_four_with_whole_sections(demo: Path) -> None:
    truth = json.loads((demo / "truth.json").read_text())
    assert truth["bpm"] == 240
    np.testing.assert_allclose(np.diff(truth["beats"]), 0.25, atol=2e-6)
    assert truth["beat_positions"] == [1, 2, 3, 4] * 44
    assert truth["downbeats"] == truth["beats"][::4]
    segments = truth["segments"]
    labels = [segment["label"] for segment in segments]
    assert labels == ["intro", "verse", "chorus", "verse", "chorus", "outro"]
    assert set(labels) <= set(HARMONIX_LABELS)
    assert segments[0]["start"] == 0
    assert segments[-1]["end"] == 44
    for one, following in pairwise(segments):
        assert one["end"] == following["start"]
        assert following["start"] in truth["downbeats"]


def test_drums_strike_on_every_beat(demo: Path) -> None:
    truth = json.loads((demo / "truth.json").read_text())
    drums = np.abs(read_16_bit(demo / "stems" / "drums.wav")).astype(float)
    starts = [round(beat * 44_100) for beat in truth["beats"]]
    before = [drums[max(0, start - 441) : start].mean() for start in starts[1:]]
    after = [drums[start : start + 441].mean() for start in starts[1:]]
    assert np.mean(np.greater(after, np.multiply(before, 2))) > 0.9


def test_a_seed_gives_one_song_and_another_seed_another(tmp_path: Path, demo: Path) -> None:
    again = write_demo(tmp_path / "again", bpm=240)
    other = write_demo(tmp_path / "other", bpm=240, seed=1)
    for path, same in zip(demo_files(demo), demo_files(again), strict=True):
        assert path.read_bytes() == same.read_bytes()
    assert (demo / "song.wav").read_bytes() != (other / "song.wav").read_bytes()
    assert (demo / "truth.json").read_bytes() == (other / "truth.json").read_bytes()


@pytest.mark.parametrize("existing", ["song.wav", "stems/vocals.wav", "truth.json"])
def test_files_that_exist_are_replaced_only_when_allowed(tmp_path: Path, existing: str) -> None:
    mine = tmp_path / existing
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(OutputError, match="exists already") as caught:
        write_demo(tmp_path, bpm=240)
    assert caught.value.path == str(mine)
    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    write_demo(tmp_path, bpm=240, overwrite=True)
    assert all(path.stat().st_size > 1_000 for path in demo_files(tmp_path))


@pytest.mark.parametrize("bpm", [0, 39.9, 240.1, float("nan")])
def test_an_unplayable_tempo_is_refused(tmp_path: Path, bpm: float) -> None:
    with pytest.raises(ValueError, match="wanted 40 to 240"):
        write_demo(tmp_path, bpm=bpm)
    assert list(tmp_path.iterdir()) == []


def test_the_truth_is_a_reference_for_scores(demo: Path) -> None:
    truth = json.loads((demo / "truth.json").read_text())
    reference = read_reference(demo / "truth.json")
    assert np.array_equal(reference.beats, truth["beats"])
    assert np.array_equal(reference.downbeats, truth["downbeats"])
    assert [vars(one) for one in reference.segments or ()] == truth["segments"]


def test_the_command_prints_the_files_and_what_to_type_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[:6] == [str(path) for path in demo_files(Path("demo"))]
    assert all(Path(line).is_file() for line in lines[:6])
    assert lines[-2:] == [
        f"Next: allin1 analyze {Path('demo') / 'song.wav'}",
        f"Then: allin1 evaluate struct/song.json --reference {Path('demo') / 'truth.json'}",
    ]
    again = CliRunner().invoke(command, [])
    assert isinstance(again.exception, OutputError)


def test_the_command_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        "allin1_core.demo.write_demo", lambda folder, **options: calls.append((folder, options))
    )
    folder = tmp_path / "my demo"
    done = CliRunner().invoke(command, [str(folder), "--overwrite"])
    assert calls == [(folder, {"overwrite": True})]
    next_line, then_line = done.stdout.splitlines()[-2:]
    assert next_line.endswith(f"analyze '{folder / 'song.wav'}'")
    assert then_line.endswith(f"--reference '{folder / 'truth.json'}'")
