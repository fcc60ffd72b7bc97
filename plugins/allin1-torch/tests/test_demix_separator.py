"""The separation against the class that Demucs publishes for it, on the same seeded weights in a folder."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from allin1_core.contracts.audio import STEMS, Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup, Task

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from allin1_backend_torch import demix


@pytest.fixture
def separator_class():
    try:
        # It also reads and writes files, with libraries that not every machine has.
        from demucs.api import Separator
    except ImportError as error:
        pytest.skip(f"demucs.api cannot be imported here: {error}")
    return Separator


def noise(samples):
    rng = torch.Generator().manual_seed(samples)
    return 0.1 * torch.randn(2, samples, generator=rng, dtype=torch.float32) + 0.01


@pytest.mark.parametrize(
    "parameters",
    [{}, {"seed": 9, "shifts": 2}, {"shifts": 0, "overlap": 0.5}, {"segment_s": 0.3}],
    ids=str,
)
def test_equals_the_separator_of_demucs(separator_class, small_folder, parameters):
    parameters = DemixParameters(model="thin", weights=str(small_folder), **parameters)
    theirs = separator_class(
        model="thin",
        repo=Path(small_folder),
        device="cpu",
        shifts=parameters.shifts,
        overlap=parameters.overlap,
        segment=parameters.segment_s,
    )
    mix = noise(40_000)
    state = random.getstate()
    random.seed(parameters.seed)
    try:
        with torch.inference_mode():
            _, found = theirs.separate_tensor(mix.clone())
    finally:
        random.setstate(state)
    wanted = torch.stack([found[stem] for stem in STEMS])
    call = demix.create(Setup("cpu", demix=parameters, threads=1))
    assert wanted.std() > 0.005
    assert (call(Mix(mix), Task()).samples - wanted).abs().max() < 1e-5
    blocks = lambda: iter(Mix(part) for part in mix.split(9000, dim=-1))  # noqa: E731
    streamed = torch.cat([stems.samples for stems in call.stream(blocks, Task())], dim=-1)
    assert (streamed - wanted).abs().max() < 1e-5
