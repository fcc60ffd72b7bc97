"""Stored outputs of madmom 0.17.dev0 are reproduced with each installed madmom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import metrical_prep

from allin1_backend_madmom import decoder, spectrogram
from allin1_backend_madmom.provider import load


def test_the_spectrogram_of_a_song(
    madmom: str, shared_dir: Path, golden: Callable[[str], Any]
) -> None:
    wanted = golden("francium_excerpt.npz")["spec_first_3000_frames"][:, :1000]
    stems = []
    for name in STEMS:
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        integers, _ = soundfile.read(path, stop=1000 * 441 + 2048, dtype="int16")
        # Scaled as madmom scales the integers of a file.
        stems.append(integers / np.float32(32767))
    frames = spectrogram.create(Setup())(Stems(np.stack(stems)[:, np.newaxis]), Task()).frames
    np.testing.assert_allclose(frames[:, :1000], wanted, rtol=0, atol=1e-6)


def test_the_decoded_beats(madmom: str, golden: Callable[[str], Any]) -> None:
    stored = golden("dbn.npz")
    sets = [json.loads(str(text)) for text in stored["params"]]
    # All short inputs and a few of the long ones; fewer for the decoder in pure Python, which takes 3 ms per frame.
    numbers = [int(key[3:]) for key in stored if key.startswith("in_")]
    is_original = madmom == "madmom"
    short = [n for n in numbers if len(stored[f"in_{n}"]) <= (109 if is_original else 29)]
    long = [n for n in numbers if len(stored[f"in_{n}"]) == 3000][:: 6 if is_original else 30]
    compared = 0
    for which, given in enumerate(sets[: None if is_original else 1]):
        given["beats_per_bar"] = tuple(given["beats_per_bar"])
        decode = decoder.create(Setup(metre=MetreParameters(**given)))
        for number in short + long:
            metre = decode(Activations(stored[f"in_{number}"]), Task())
            beats = np.column_stack([metre.beat_times_s, metre.beat_positions])
            wanted = stored[f"out_{number}_{which}"]
            np.testing.assert_array_equal(beats, wanted, err_msg=f"{number} {given}")
            compared += len(wanted) > 1
    assert compared >= (10 if is_original else 3), compared


@pytest.mark.parametrize("song", ["francium_excerpt", "synthetic_3_4", "synthetic_4_4"])
def test_the_beats_of_songs_as_upstream_found_them(golden: Callable[[str], Any], song: str) -> None:
    if not load().is_original:
        pytest.skip("decodes whole songs, which takes the decoder in pure Python minutes")
    decode = decoder.create(Setup(metre=MetreParameters(threshold=0.24)))
    stored, told = golden(f"{song}.npz"), golden(f"{song}.json")
    names = ("beat", "downbeat", "section", "function")
    logits = Logits(*(stored[f"ensemble_logits_{name}"] for name in names))
    metre = decode(metrical_prep.create(Setup())(logits, Task()), Task())
    upstream = told.get("upstream", told)["ensemble"]
    assert metre.beat_times_s.tolist() == upstream["beats"]
    assert metre.beat_positions.tolist() == upstream["beat_positions"]
