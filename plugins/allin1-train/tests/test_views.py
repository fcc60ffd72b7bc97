"""The four views of a mix."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from allin1_train.views import BANDS, log_bands, running_median, views


def tone(hz: float, seconds: float) -> np.ndarray:
    t = np.arange(int(44100 * seconds)) / 44100
    return np.sin(2 * np.pi * hz * t).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 440, 441, 442, 44100])
def test_there_is_a_frame_for_every_started_hop(samples: int) -> None:
    x = views(np.full((2, samples), 0.1, np.float32))
    assert x.shape == (4, -(-samples // 441), BANDS)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_a_higher_tone_lies_in_a_higher_band() -> None:
    tops = [int(log_bands(tone(hz, 0.5))[25].argmax()) for hz in (100, 400, 1600, 6400)]
    assert tops == sorted(set(tops))
    # semitones at the top: two octaves are 24 bands
    assert tops[3] - tops[2] == 24


def test_mono_has_no_side_and_opposite_channels_no_middle() -> None:
    x = tone(440, 0.5)
    same, opposite = views(np.stack([x, x])), views(np.stack([x, -x]))
    assert not same[1].any()
    assert not opposite[0].any()
    np.testing.assert_array_equal(same[0], opposite[1])


def test_a_steady_tone_is_harmonic_and_a_click_percussive() -> None:
    x = 0.3 * tone(440, 2)
    x[44100:44110] += 1
    mid, _, percussive, harmonic = views(np.stack([x, x]))
    assert percussive[100].sum() > 5 * percussive[50].sum()
    np.testing.assert_allclose(harmonic[100], harmonic[50], atol=0.02)
    np.testing.assert_allclose(harmonic[50], mid[50], atol=0.02)


def test_the_running_median_is_the_median_of_mirrored_neighbours() -> None:
    x = np.random.default_rng(0).random((90, 3)).astype(np.float32)
    padded = np.pad(x, ((15, 15), (0, 0)), mode="symmetric")
    expected = np.stack([np.median(padded[t : t + 31], axis=0) for t in range(len(x))])
    np.testing.assert_array_equal(running_median(x), expected)


def test_the_views_equal_those_of_the_prototype() -> None:
    folder = Path(os.environ.get("ALLIN1_SHARED_DIR", "shared")) / "prototypes" / "own-model"
    if not (folder / "data.py").is_file():
        pytest.skip("needs the prototype: set ALLIN1_SHARED_DIR to the folder that has it")
    spec = importlib.util.spec_from_file_location("prototype_data", folder / "data.py")
    assert spec is not None
    assert spec.loader is not None
    prototype = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prototype)
    g = np.random.default_rng(1)
    mix = (g.standard_normal((2, 100_000)) * np.linspace(0, 0.5, 100_000)).astype(np.float32)
    np.testing.assert_allclose(views(mix), prototype.views(mix), atol=1e-6)
