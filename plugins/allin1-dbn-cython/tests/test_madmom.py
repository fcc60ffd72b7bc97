"""The same beats as madmom 0.16.1, which runs in the same process, and as stored outputs of madmom 0.17.dev0."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from allin1_backend_dbn_cython.decoder import Decoder
from numpy.typing import NDArray

from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre, MetreParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference.metrical_prep import create as create_prep


def as_madmom(metre: Metre) -> NDArray[np.float64]:
    assert metre.beat_times_s.dtype == np.float64
    assert metre.beat_positions.dtype == np.int64
    return np.column_stack((metre.beat_times_s, metre.beat_positions))


def decode(
    values: NDArray[Any], parameters: MetreParameters, rate: float = 100
) -> NDArray[np.float64]:
    return as_madmom(Decoder(parameters, threads=1)(Activations(values, rate), Task()))


def test_the_stored_outputs_of_madmom(golden: Callable[[str], Any]) -> None:
    stored = golden("dbn.npz")
    sets = [json.loads(str(text)) for text in stored["params"]]
    compared = 0
    for key in stored:
        if not key.startswith("out_"):
            continue
        _, number, which = key.split("_")
        given = dict(sets[int(which)])
        given["beats_per_bar"] = tuple(given["beats_per_bar"])
        beats = decode(stored[f"in_{number}"], MetreParameters(**given))
        np.testing.assert_array_equal(beats, stored[key], err_msg=f"{key} {given}")
        compared += 1
    assert compared >= 200
    # Where madmom raised, there was no path.
    for key in stored:
        if key.startswith("err_"):
            _, number, which = key.split("_")
            given = dict(sets[int(which)])
            given["beats_per_bar"] = tuple(given["beats_per_bar"])
            metre = Decoder(MetreParameters(**given), threads=1)(
                Activations(stored[f"in_{number}"]), Task()
            )
            assert len(metre.beat_times_s) == 0
            assert metre.warnings


@pytest.mark.parametrize("song", ["francium_excerpt", "synthetic_3_4", "synthetic_4_4"])
@pytest.mark.parametrize(("model", "threshold"), [("fold0", 0.22), ("ensemble", 0.24)])
def test_the_golden_songs(
    golden: Callable[[str], Any], madmom: Any, song: str, model: str, threshold: float
) -> None:
    stored = golden(f"{song}.npz")
    told = golden(f"{song}.json")
    logits = Logits(
        stored[f"{model}_logits_beat"],
        stored[f"{model}_logits_downbeat"],
        stored[f"{model}_logits_section"],
        stored[f"{model}_logits_function"],
    )
    activations = create_prep(Setup())(logits, Task())
    parameters = MetreParameters(threshold=threshold)
    beats = decode(activations.values, parameters)
    np.testing.assert_array_equal(beats, madmom(activations.values, parameters, 100))
    upstream = told.get("upstream", told)[model]
    assert beats[:, 0].tolist() == upstream["beats"]
    assert beats[:, 1].tolist() == upstream["beat_positions"]
    assert beats[beats[:, 1] == 1, 0].tolist() == upstream["downbeats"]


def song_like(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return peaks at the beats of a drifting tempo, on a noisy floor, with beats missing."""
    floor, sharpness = rng.uniform(-9, -5), rng.uniform(3, 12)
    noise = rng.uniform(0, 2)
    logits = floor + noise * rng.standard_normal((frames, 2))
    interval, bar = rate * 60 / rng.uniform(58, 212), int(rng.integers(2, 7))
    time, beat = rng.uniform(0, interval), int(rng.integers(bar))
    while time < frames:
        if rng.random() > 0.08:
            near = np.arange(max(0, int(time) - 2), min(frames, int(time) + 3))
            peak = floor + 2 * sharpness * np.exp(-((near - time) ** 2) / 3)
            logits[near, 0] = np.maximum(logits[near, 0], peak)
            if beat % bar == 0:
                logits[near, 1] = np.maximum(logits[near, 1], peak)
        beat += 1
        interval *= np.exp(rng.normal(0, 0.01))
        time += interval
    beats, downbeats = (1 / (1 + np.exp(-logits))).T
    both = np.column_stack(
        (np.maximum(1e-8, beats - downbeats), downbeats, 1 - (beats + downbeats) / 2)
    )
    return (both / both.sum(axis=1, keepdims=True))[:, :2]


def ties(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return few distinct values, so that many paths are equally probable."""
    return rng.integers(0, 4, (frames, 2)) / 10 + 0.05


def metronome(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return exactly periodic beats on an exactly flat floor."""
    values = np.full((frames, 2), rng.choice([1e-8, 1e-4, 0.01]))
    period, bar = int(rng.integers(max(2, rate // 4), max(3, rate))), int(rng.integers(1, 6))
    values[::period, 0] = 0.9 - 1e-3
    values[:: period * bar] = [1e-8, 0.9]
    return values


def noise(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return noise without beats."""
    return rng.dirichlet([0.3, 0.2, 2], frames)[:, :2]


def constant(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return a constant."""
    return np.full((frames, 2), rng.choice([0.1, 0.25, 0.3, 0.49, 0.5]))


def broken(rng: np.random.Generator, frames: int, rate: float) -> NDArray[np.float64]:
    """Return values that are not probabilities, or that leave no possible path."""
    values = song_like(rng, frames, rate)
    rows = rng.integers(0, frames, int(rng.integers(1, 6)))
    values[rows] = rng.choice([np.nan, np.inf, -np.inf, 0.0, 0.7, 1.0, -0.1])
    return values


KINDS = (song_like, song_like, song_like, ties, metronome, noise, constant, broken)

DTYPES = (np.float32, np.float32, np.float64, np.float16)

#: Parameters and frames per second: the defaults, and variants that each change one of them.
VARIANTS = (
    (MetreParameters(threshold=0.24), 100),
    (MetreParameters(threshold=0.05), 100),
    (MetreParameters(threshold=0.0), 100),
    (MetreParameters(threshold=None, correct=False), 100),
    (MetreParameters(beats_per_bar=(2, 3, 4, 5, 6, 7), threshold=0.1), 50),
    (MetreParameters(beats_per_bar=(4,), min_bpm=80, max_bpm=160, threshold=0.2), 100),
    (MetreParameters(beats_per_bar=(1,), correct=True, threshold=0.1), 50),
    (MetreParameters(beats_per_bar=(1, 2), correct=False, threshold=0.1), 50),
    (MetreParameters(num_tempi=None, transition_lambda=30, threshold=0.1), 50),
    (MetreParameters(num_tempi=7, transition_lambda=250, threshold=0.1), 100),
    (MetreParameters(observation_lambda=4, threshold=0.2), 100),
    (MetreParameters(observation_lambda=2, transition_lambda=1, threshold=0.2), 43.06640625),
    (MetreParameters(threshold=0.2, max_bpm=240), 20),
    (MetreParameters(threshold=0.2, min_bpm=20, max_bpm=120), 2),
    (MetreParameters(threshold=0.0, min_bpm=30, max_bpm=300, num_tempi=None), 10),
    (MetreParameters(beats_per_bar=(3, 4), min_bpm=120, max_bpm=120, threshold=0.1), 100),
    (MetreParameters(beats_per_bar=(12,), threshold=0.1), 50),
    (MetreParameters(threshold=0.1), 200),
)


@pytest.mark.parametrize(
    "variant", range(len(VARIANTS)), ids=[f"{p.beats_per_bar} at {r} fps" for p, r in VARIANTS]
)
def test_generated_inputs(madmom: Any, variant: int) -> None:
    parameters, rate = VARIANTS[variant]
    decoder = Decoder(parameters)
    with_beats = 0
    for number in range(20):
        rng = np.random.default_rng([variant, number])
        kind = KINDS[number % len(KINDS)]
        dtype = DTYPES[int(rng.integers(len(DTYPES)))]
        seconds = rng.choice([0.02, 0.3, 2.0, 6.0, 12.0])
        values = kind(rng, max(1, int(seconds * rate)), rate).astype(dtype)
        beats = as_madmom(decoder(Activations(values, rate), Task()))
        np.testing.assert_array_equal(
            beats,
            madmom(values, parameters, rate),
            err_msg=f"{kind.__name__} {seconds} s, {np.dtype(dtype)}, seed {[variant, number]}",
        )
        with_beats += len(beats) > 1
    assert with_beats >= 3, "too few inputs of this variant have beats"
    decoder.close()


def test_a_long_song(madmom: Any) -> None:
    values = song_like(np.random.default_rng(7), 20_000, 100).astype(np.float32)
    parameters = MetreParameters(threshold=0.24)
    beats = decode(values, parameters)
    assert len(beats) > 150
    np.testing.assert_array_equal(beats, madmom(values, parameters, 100))
