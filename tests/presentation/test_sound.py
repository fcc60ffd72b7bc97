from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.errors import AudioError, OutputError
from allin1_core.io.audio import read_audio
from allin1_core.presentation import source
from allin1_core.presentation.formats import SOUNDS
from allin1_core.presentation.sound import sonify, write_sonification

BEATS = [0.25, 0.763, 1.2789, 1.8, 2.3011]


@pytest.fixture
def result(tmp_path: Path) -> AnalysisResult:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((3 * SAMPLE_RATE, 2), np.float32), SAMPLE_RATE)
    segments = [Segment(0.0, 1.8, "intro"), Segment(1.8, 3.0, "verse")]
    return AnalysisResult(song, 117, BEATS, [0.763], [4, 1, 2, 3, 4], segments)


def test_each_click_begins_at_the_sample_of_its_beat(result: AnalysisResult) -> None:
    samples, rate = sonify(replace(result, segments=[]))
    assert (rate, samples.shape) == (SAMPLE_RATE, (2, 3 * SAMPLE_RATE))
    for beat in BEATS:
        sample = round(beat * SAMPLE_RATE)
        assert np.abs(samples[:, sample - 20 : sample]).max() < 0.002  # what is left of the last
        assert samples[0, sample] == pytest.approx(0.35, abs=0.002)


def test_downbeats_sound_an_octave_above_beats(result: AnalysisResult) -> None:
    samples, _ = sonify(replace(result, segments=[]))
    for beat, pitch in zip(BEATS[:2], (1500, 3000), strict=True):
        start = round(beat * SAMPLE_RATE)
        click = samples[0, start : start + 4410]
        assert abs(int(np.abs(np.fft.rfft(click)).argmax()) * 10 - pitch) <= 20


@pytest.mark.parametrize("suffix", sorted(SOUNDS))
def test_clicks_are_in_place_after_encoding(result: AnalysisResult, suffix: str) -> None:
    path = result.path.with_name(f"clicks{suffix}")
    write_sonification(replace(result, segments=[]), path, clicks_only=True)
    samples, _ = read_audio(path)
    expected, _ = sonify(replace(result, segments=[]), clicks_only=True)
    assert abs(samples.shape[1] - expected.shape[1]) < SAMPLE_RATE // 10
    # The delay that fits best.
    length = min(samples.shape[1], expected.shape[1])
    spectrum = np.fft.rfft(samples[0, :length]) * np.conj(np.fft.rfft(expected[0, :length]))
    lag = int(np.fft.irfft(spectrum, length).argmax())
    assert min(lag, length - lag) < SAMPLE_RATE / 1000


def test_the_blocks_of_a_song_are_the_whole(
    result: AnalysisResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = sonify(result)
    monkeypatch.setattr(source, "BLOCK_S", 0.0371)
    blocks, _ = sonify(result)
    np.testing.assert_array_equal(blocks, whole)


def test_a_riser_leads_into_a_section_and_a_drop_out_of_it(result: AnalysisResult) -> None:
    samples, _ = sonify(replace(result, beats=[], downbeats=[]))
    boundary = round(1.8 * SAMPLE_RATE)
    level = [float(np.abs(samples[0, a : a + 4410]).mean()) for a in (0, boundary - 4410, boundary)]
    assert level[0] < level[1] / 2
    assert level[2] > 0
    assert np.abs(samples[:, boundary + SAMPLE_RATE // 2 :]).max() == 0


def test_the_song_stays_audible_and_nothing_clips(result: AnalysisResult) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (3 * SAMPLE_RATE, 2)).astype(np.float32)
    soundfile.write(result.path, noise, SAMPLE_RATE, "FLOAT")
    samples, _ = sonify(result)
    assert np.abs(samples).max() <= 1
    assert np.corrcoef(samples[0], noise[:, 0])[0, 1] > 0.9
    alone, _ = sonify(result, clicks_only=True)
    assert abs(np.corrcoef(alone[0], noise[:, 0])[0, 1]) < 0.1


def test_beats_behind_the_end_of_the_audio_are_left_out(result: AnalysisResult) -> None:
    samples, _ = sonify(replace(result, beats=[2.99, 3.5, 100.0], downbeats=[]))
    assert samples.shape[1] == 3 * SAMPLE_RATE


def test_audio_that_is_gone_is_named_and_nothing_is_written(result: AnalysisResult) -> None:
    result.path.unlink()
    path = result.path.with_name("out.wav")
    with pytest.raises(AudioError, match="song.wav"):
        write_sonification(result, path)
    assert list(path.parent.iterdir()) == []


def test_an_unknown_suffix_is_refused(result: AnalysisResult) -> None:
    with pytest.raises(OutputError, match=r"\.xyz"):
        write_sonification(result, result.path.with_name("out.xyz"))
