from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import metrical_prep as reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from allin1_backend_torch.bridges import to_numpy
from allin1_backend_torch.metrical_prep import create


def logits(beat, downbeat, wrap=lambda a: a):
    function = np.zeros((10, len(beat)), np.float32)
    return Logits(wrap(beat), wrap(downbeat), wrap(beat), wrap(function))


@pytest.mark.parametrize("frames", [1, 7, 3000])
@pytest.mark.parametrize("scale", [1, 4, 200])
def test_it_equals_the_reference(device, put, frames, scale):
    rng = np.random.default_rng(frames)
    beat, downbeat = (scale * rng.standard_normal(frames).astype(np.float32) for _ in range(2))
    wanted = reference.create(Setup())(logits(beat, downbeat), Task()).values
    actual = create(Setup(device))(logits(beat, downbeat, put), Task()).validate().values
    assert actual.device.type == torch.device(device).type
    assert actual.is_contiguous()
    np.testing.assert_allclose(to_numpy(actual), wanted, rtol=0, atol=1e-6)


@given(arrays(np.float32, (2, 5), elements=st.floats(-1024, 1024, width=32)))
def test_rows_are_probabilities(values):
    rows = create(Setup())(logits(*values, torch.from_numpy), Task()).values.double()
    assert (rows >= 0).all()
    assert (rows.sum(1) <= 1 + 1e-6).all()


def test_the_input_is_not_modified(put):
    data = logits(*np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32), put)
    before = data.beat.clone(), data.downbeat.clone()
    create(Setup())(data, Task())
    assert torch.equal(data.beat, before[0])
    assert torch.equal(data.downbeat, before[1])
