from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import functional as reference
from allin1_core.testing import signals

from allin1_backend_torch.functional import create

SONGS = [("francium_excerpt", None), ("synthetic_4_4", "upstream"), ("synthetic_3_4", "upstream")]


def on_device(logits, put):
    return Logits(*(put(getattr(logits, name)) for name in Logits.ARRAYS[:4]))


def noise(frames, seed):
    rng = np.random.default_rng(seed)
    section = rng.standard_normal(frames).astype(np.float32) * 3
    return Logits(section, section, section, rng.standard_normal((10, frames)).astype(np.float32))


def constant(frames, section):
    """Make every frame a candidate, so that the rounding of sums decides."""
    row = np.full(frames, section, np.float32)
    return Logits(row, row, row, noise(frames, 1).function)


@pytest.mark.parametrize(
    "logits",
    [noise(n, n) for n in (1, 2, 48, 97, 1201, 2401, 20_011)]
    + [constant(3000, level) for level in (-1.3, 0.0, 0.7, 30.0)]
    + [signals.song_logits(n) for n in (7, 9001)],
)
def test_it_equals_the_reference(device, put, logits):
    wanted = reference.create(Setup())(logits, Task())
    actual = create(Setup(device))(on_device(logits, put), Task()).validate()
    assert actual == wanted
    assert actual.boundary_strengths == wanted.boundary_strengths
    np.testing.assert_allclose(actual.label_probabilities, wanted.label_probabilities, atol=2e-6)
    assert all(type(s.start) is float and type(s.end) is float for s in actual.segments)


@pytest.mark.parametrize(("song", "key"), SONGS)
@pytest.mark.parametrize("model", ["fold0", "ensemble"])
def test_it_equals_the_original_on_a_song(device, put, golden, song, key, model):
    arrays, told = golden(f"{song}.npz"), golden(f"{song}.json")
    told = told[key] if key else told
    names = ("beat", "downbeat", "section", "function")
    logits = Logits(*(put(arrays[f"{model}_logits_{name}"]) for name in names))
    segments = create(Setup(device))(logits, Task()).segments
    wanted = told[model]["segments"]
    assert [s.label for s in segments] == [s["label"] for s in wanted]
    np.testing.assert_allclose([s.start for s in segments], [s["start"] for s in wanted], atol=1e-9)
    np.testing.assert_allclose([s.end for s in segments], [s["end"] for s in wanted], atol=1e-9)


def test_equal_labels_go_to_the_first(device, put):
    row = np.zeros(10, np.float32)
    logits = Logits(*(put(a) for a in (row, row, row, np.zeros((10, 10), np.float32))))
    assert {s.label for s in create(Setup(device))(logits, Task()).segments} == {"start"}


def test_the_input_is_not_modified_in_any_layout(device, put):
    plain = noise(3000, 5)
    function = put(np.ascontiguousarray(plain.function.T)).T
    section = put(np.repeat(plain.section, 2))[::2]
    before = function.clone(), section.clone()
    logits = Logits(section, section, section, function)
    assert create(Setup(device))(logits, Task()) == reference.create(Setup())(plain, Task())
    assert torch.equal(function, before[0])
    assert torch.equal(section, before[1])
