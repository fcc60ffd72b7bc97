from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from allin1_core.cli.main import cli
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.errors import OutputError
from allin1_core.io.results import save_result
from allin1_core.presentation.picture import draw_result, write_picture
from allin1_core.presentation.source import peaks_of

pytest.importorskip("matplotlib", reason='pictures need "allin1-core[viz]"')


def a_result(path: Path, seconds: float = 30.0, **changes: Any) -> AnalysisResult:
    beats = [float(t) for t in np.arange(0.5, seconds, 0.5)]
    places = [i % 4 + 1 for i in range(len(beats))]
    segments = [Segment(0.0, 10.0, "intro"), Segment(10.0, seconds, "chorus")]
    result = AnalysisResult(path, 120, beats, beats[::4], places, segments)
    return replace(result, **changes)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 30 * 8000), 8000)
    return path


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")]
)
def test_the_suffix_says_the_format(song: Path, suffix: str, magic: bytes) -> None:
    path = song.with_name(f"picture{suffix}")
    write_picture(a_result(song), path)
    assert path.read_bytes().startswith(magic)


def _texts(figure: Any) -> set[str]:
    return {text.get_text() for axis in figure.axes for text in axis.texts}


def test_a_picture_names_each_section_and_marks_each_beat(song: Path) -> None:
    result = a_result(song)
    figure = draw_result(result)
    assert _texts(figure) == {"intro", "chorus"}
    lines = [c for axis in figure.axes for c in axis.collections if hasattr(c, "get_segments")]
    drawn = {round(float(s[0][0]), 6) for c in lines for s in c.get_segments()}
    assert drawn == {round(beat, 6) for beat in result.beats}


def test_activations_and_a_changing_tempo_get_lanes_of_their_own(song: Path) -> None:
    assert len(draw_result(a_result(song)).axes) == 1
    activations = {k: np.zeros(3000, np.float32) for k in ("beat", "downbeat", "segment")}
    with_activations = a_result(song, activations=activations)
    assert len(draw_result(with_activations).axes) == 2
    beats = [float(t) for t in np.cumsum(np.linspace(0.4, 0.6, 60))]
    slowing = replace(with_activations, beats=beats, downbeats=beats[::4])
    assert len(draw_result(slowing).axes) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"beats": [], "downbeats": [], "beat_positions": [], "bpm": None},
        {"segments": []},
        {"segments": [Segment(0.0, 30.0, "never $heard$ of")]},
        {"beats": [], "downbeats": [], "beat_positions": [], "bpm": None, "segments": []},
    ],
)
def test_odd_results_are_drawn(song: Path, changes: dict[str, Any]) -> None:
    write_picture(a_result(song, **changes), song.with_name("a.png"))


def test_a_result_whose_audio_is_gone_is_drawn(tmp_path: Path) -> None:
    write_picture(a_result(tmp_path / "gone.mp3"), tmp_path / "a.png", name="日本 $x$")


def test_two_hours_are_drawn_in_rows(tmp_path: Path) -> None:
    figure = draw_result(a_result(tmp_path / "gone.mp3", 7200.0))
    assert len(figure.axes) == 12
    ends = [axis.get_xlim()[1] for axis in figure.axes]
    assert ends[0] == pytest.approx(600)
    assert ends[-1] == pytest.approx(7200)


def test_no_label_of_the_clock_reads_sixty(song: Path) -> None:
    figure = draw_result(a_result(song, 299.9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.canvas.draw()
    labels = [t.get_text() for axis in figure.axes for t in axis.get_xticklabels()]
    assert labels
    assert not any(":60" in label for label in labels)


def test_no_figure_stays_open(song: Path) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    draw_result(a_result(song))
    assert plt.get_fignums() == before


def test_an_unknown_suffix_is_refused(song: Path) -> None:
    with pytest.raises(OutputError, match=r"\.gif"):
        write_picture(a_result(song), song.with_name("a.gif"))


@pytest.mark.parametrize("cut", [1, 7, 441, 1000])
def test_peaks_do_not_depend_on_the_blocks(cut: int) -> None:
    samples = np.random.default_rng(cut).standard_normal((2, 5000)).astype(np.float32)
    blocks = (samples[:, a : a + cut] for a in range(0, 5000, cut))
    peaks = peaks_of(blocks)
    expected = [np.abs(samples[:, a : a + 441]).max(axis=1) for a in range(0, 5000, 441)]
    np.testing.assert_array_equal(peaks, np.stack(expected, axis=1))


@pytest.mark.parametrize(("command", "suffix"), [("visualize", ".pdf"), ("sonify", ".sonif.wav")])
def test_the_commands_write_a_file_for_each_result_in_order(
    command: str, suffix: str, song: Path, tmp_path: Path
) -> None:
    names = ["b", "a"]
    paths = [save_result(a_result(song), tmp_path / "struct", name) for name in names]
    out = tmp_path / "out"

    def invoke(*more: str) -> Any:
        return CliRunner().invoke(cli, [command, *map(str, paths), "-o", str(out), *more])

    done = invoke()
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(out / f"{name}{suffix}") for name in names]
    (out / f"a{suffix}").unlink()
    # What is there already costs itself alone.
    again = invoke()
    assert again.exit_code == OutputError.exit_code
    assert "exists already" in again.stderr
    assert again.stdout.split() == [str(out / f"a{suffix}")]
    assert isinstance(
        CliRunner()
        .invoke(cli, ["--traceback", command, *map(str, paths), "-o", str(out)])
        .exception,
        OutputError,
    )
    assert invoke("--overwrite").exit_code == 0
