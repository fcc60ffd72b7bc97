"""madmom's downbeat model: from the mix to activations, and to a result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import InputError
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track
from allin1_core.testing import signals
from numpy.typing import NDArray

from allin1_backend_madmom import downbeat_rnn, hooks, probe
from allin1_backend_madmom.provider import load

pytestmark = pytest.mark.usefixtures("networks")


def mix_of(seconds: float) -> NDArray[np.float32]:
    """Return a mix with beats and slightly different channels."""
    left = signals.music_stems(seconds, seed=1).samples.sum(axis=0)[0]
    right = signals.music_stems(seconds, seed=2).samples.sum(axis=0)[0]
    return (np.stack([left, right]) / 2).astype(np.float32)


def run(samples: NDArray[np.float32], task: Task | None = None) -> NDArray[np.float32]:
    return downbeat_rnn.create(Setup())(Mix(samples), task or Task()).validate().values


def test_it_equals_madmoms_own_processor() -> None:
    samples = mix_of(4.0)
    processor = load().module("features.downbeats").RNNDownBeatProcessor()
    np.testing.assert_array_equal(run(samples), processor(np.ascontiguousarray(samples.T)))


def test_floats_are_read_like_the_integers_of_a_file() -> None:
    integers = np.round(mix_of(4.0).mean(axis=0) * 32767).astype(np.int16)
    processor = load().module("features.downbeats").RNNDownBeatProcessor()
    mono = (integers / np.float32(32767)).astype(np.float32)
    np.testing.assert_allclose(run(np.stack([mono, mono])), processor(integers), rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 440, 441, 442, 882, 4411])
def test_any_length_gives_a_row_for_each_started_frame(samples: int) -> None:
    values = run(mix_of(0.2)[:, :samples])
    assert values.shape == (-(-samples // 441), 2)
    assert values.dtype == np.float32


def test_the_input_is_not_modified_and_may_be_read_only_or_strided() -> None:
    samples = mix_of(1.0)
    wanted = run(samples.copy())
    frozen = samples.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(run(frozen), wanted)
    np.testing.assert_array_equal(run(np.repeat(samples, 2, axis=1)[:, ::2]), wanted)
    np.testing.assert_array_equal(frozen, samples)


def test_it_reports_progress_and_can_be_cancelled() -> None:
    told: list[float] = []
    run(mix_of(0.5), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == 9

    def cancel(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(mix_of(0.5), Task(progress=cancel))


@pytest.mark.skipif(
    find_spec("madmom") is None or find_spec("madmom_infer") is None,
    reason="compares the rewrite with the original; one of them is not installed",
)
def test_the_rewrite_agrees_if_it_has_the_networks(
    hide: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    samples = mix_of(6.0)
    wanted = run(samples)
    source = probe.networks_folder(load())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hide("madmom")
    for name in probe.NETWORKS:
        copy = probe.networks_folder(load()) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, copy)
    (backend,) = hooks.allin1_demix()
    assert np.abs(run(samples) - wanted).max() <= backend.parity.tolerance


@pytest.fixture
def session(isolated_plugins: Callable[..., Any]) -> Session:
    return Session("madmom-rnn", plugins=isolated_plugins(madmom=hooks))


def f_measure(wanted: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the F-measure of beats within 70 ms, each counted once, from 5 s on, as ``mir_eval.beat`` does.

    If beats are further apart than 140 ms, as here, the largest matching pairs each beat with the nearest one.
    """
    wanted, found = wanted[wanted >= 5], found[found >= 5]
    nearest = np.abs(found[:, np.newaxis] - wanted).argmin(axis=1)
    hits = len(set(nearest[np.abs(found - wanted[nearest]) <= 0.07]))
    return 2 * hits / (len(wanted) + len(found))


def test_tempo_beats_and_downbeats_of_a_song_from_its_mix(
    shared_dir: Path, session: Session, tmp_path: Path
) -> None:
    stems = [
        soundfile.read(shared_dir / "music" / "francium" / f"{name}.flac", dtype="float32")[0]
        for name in STEMS
    ]
    path = tmp_path / "francium.wav"
    soundfile.write(path, np.sum(stems, axis=0), SAMPLE_RATE, subtype="FLOAT")
    with session:
        result = session.analyze(Track("francium", path))
    assert result.bpm == 128
    beats = np.arange(192) * 60 / 128
    assert f_measure(beats, np.array(result.beats)) > 0.95
    assert f_measure(beats[::4], np.array(result.downbeats)) > 0.95
    assert set(result.beat_positions) == {1, 2, 3, 4}
    assert result.segments == []
    assert result.warnings == ["The model madmom-rnn finds no sections."]
    assert result.provenance is not None
    assert result.provenance.outputs == ("beats",)
    assert [record.stages for record in result.provenance.stages] == [
        ("demix", "spectrogram", "nn", "metrical_prep"),
        ("metrical_dbn",),
    ]
    assert result.provenance.stages[0].backend == "madmom-rnn"
    assert result.provenance.fallbacks == ()


def test_a_tempo_is_found_without_any_file(session: Session) -> None:
    with session:
        run = session.run(Mix(mix_of(12.0)), outputs=["beats"])
        metre = run.products.metre
    assert 60 / np.median(np.diff(metre.beat_times_s)) == pytest.approx(120, abs=2)


def test_sections_cannot_be_requested(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, mix_of(1.0).T, SAMPLE_RATE)
    with pytest.raises(InputError, match="madmom-rnn does not find sections"):
        session.analyze(Track("song", path), only="sections")
