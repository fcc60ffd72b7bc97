"""Every other backend that is installed, against the real madmom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Setup, Stage, Task
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import Probes, check_needs, load_target
from allin1_core.testing import signals
from allin1_core.testing.conformance import measure
from allin1_core.testing.skipping import device_or_skip

from allin1_backend_madmom import decoder, spectrogram
from allin1_backend_madmom.provider import Provider, find

OFFERS = collect_offers(load_plugins())
OTHERS = [
    offered.item
    for stage in ("spectrogram", "metrical_dbn")
    for offered in OFFERS.covering(stage)
    if offered.plugin.name != "madmom"
    and offered.item.stages == (stage,)
    and offered.item.takes == "stems"  # madmom has no equivalent of the views of a mix
]


@pytest.fixture(autouse=True)
def real_madmom() -> None:
    found = find()
    if not isinstance(found, Provider) or not found.is_original:
        pytest.skip("compares with the real madmom, which is not installed")


def inputs(stage: Stage) -> Iterator[Any]:
    if stage == "spectrogram":
        yield signals.music_stems(3.0)
        yield signals.hard_stems(60_000)
        yield signals.noise_stems(20_001)
        return
    for seed, (bpm, metre) in enumerate([(128, 4), (93, 3), (171, 4)]):
        yield signals.song_activations(1500, bpm=bpm, beats_per_bar=metre, seed=seed)
    noise = np.random.default_rng(5).dirichlet([0.3, 0.2, 2], 1000)[:, :2]
    yield Activations(noise.astype(np.float32))


@pytest.mark.parametrize("backend", OTHERS, ids=lambda b: f"{b.stage}-{b.name}")
def test_it_is_within_its_tolerance_of_madmom(backend: Any) -> None:
    verdict = check_needs(backend.needs) or Probes().verdict(backend)
    device = device_or_skip(backend.name, verdict)
    setup = Setup(device=device, metre=MetreParameters(threshold=0.1), threads=2)
    own = {"spectrogram": spectrogram, "metrical_dbn": decoder}[backend.stage].create(setup)
    other = load_target(backend.target)(setup)
    network = BridgeNetwork(OFFERS.bridges)
    to, back = network.between(HOST, backend.consumes), network.between(backend.produces, HOST)
    assert to is not None
    assert back is not None
    # The declared tolerance is relative to the reference, whose spectrogram is within 4e-7 of madmom's.
    tolerance = backend.parity.tolerance + (1e-6 if backend.stage == "spectrogram" else 0)
    for data in inputs(backend.stage):
        output = cross(other(cross(data, to, device), Task()), back, "cpu")
        assert measure(own(data, Task()), output) <= tolerance
