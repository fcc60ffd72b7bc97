"""Decisions as text and as plain values."""

from __future__ import annotations

import json

import pytest

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.route import Choice, RouteRequest
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.plugins.collecting import collect_offers
from allin1_core.selection.cost import Priors
from allin1_core.selection.policy import decide
from allin1_core.selection.probing import Probes

NPU = Space("arrays", "npu")


@pytest.fixture
def decision(isolated_plugins, make_plugin):
    found = [
        Backend(
            "on-npu",
            "spectrogram",
            "nowhere:create",
            consumes=NPU,
            produces=NPU,
            speed=(Speed("npu", 0.25, 1e-4, "a bench"),),
        ),
        Backend("no-library", "spectrogram", "nowhere:create", needs=Needs(("no-such-package",))),
        Backend("unmeasured", "spectrogram", "nowhere:create"),
    ]
    bridges = [
        Bridge(HOST, NPU, "nowhere:up", bytes_per_second=1e9),
        Bridge(NPU, HOST, "nowhere:down", bytes_per_second=1e9),
    ]
    plugin = make_plugin(allin1_spectrogram=lambda: found, allin1_bridges=lambda: bridges)
    plugins = isolated_plugins(mine=plugin)
    choice = Choice("spectrogram", "mine", "ALLIN1_BACKEND")
    request = RouteRequest(("spectrogram",), 100.0, choices=(choice,))
    offers = collect_offers(plugins)
    return decide(plugins, offers, request, Probes(), {}, Priors(offers.bridges))


def test_a_person_reads_the_route_the_costs_and_the_reasons(decision):
    text = str(decision)
    lines = text.splitlines()
    assert "asked for  100 s of audio from numpy/cpu, parity close" in lines
    assert "named      spectrogram=mine (ALLIN1_BACKEND)" in lines
    assert "route      spectrogram=on-npu" in lines
    assert "chosen by  auto" in lines
    assert "move       numpy/cpu to arrays/npu, before spectrogram" in lines
    (chosen,) = [line for line in lines if line.lstrip().startswith("* ")]
    assert "on-npu" in chosen
    assert "0.26 s" in chosen
    assert "prior: a bench" in chosen
    (missing,) = [line for line in lines if "no-library" in line]
    assert "needs: no-such-package is not installed." in missing
    assert 'pip install "no-such-package"' in missing
    (unknown,) = [line for line in lines if "unmeasured" in line]
    assert " ? " in unknown
    assert "1000000" not in text
    (up, down) = lines[lines.index("moves of arrays") + 1 :]
    assert " ".join(up.split()) == "numpy/cpu to arrays/npu 0.000 ms + 1.0 GB/s (prior)"
    assert down.split()[:3] == ["arrays/npu", "to", "numpy/cpu"]


def test_a_program_reads_the_same(decision):
    told = json.loads(json.dumps(decision.to_json()))
    assert told["named"] == {"spectrogram": {"name": "mine", "source": "ALLIN1_BACKEND"}}
    (step,) = told["route"]
    assert step["backend"] == "on-npu"
    assert step["moves"] == ["numpy/cpu to arrays/npu"]
    assert told["cost_s"] == pytest.approx(decision.chosen.cost_s)
    assert told["bridges"][0] == {
        "source": "numpy/cpu",
        "destination": "arrays/npu",
        "latency_s": 0.0,
        "seconds_per_byte": 1e-9,
        "evidence": "prior",
    }
    found = {one["name"]: one for one in told["stages"]["spectrogram"]}
    assert found["on-npu"]["chosen"]
    assert found["on-npu"]["cost_s"] == pytest.approx(0.26)
    assert found["unmeasured"]["cost_s"] is None
    assert found["no-library"]["refusal"]["gate"] == "needs"
    assert found["reference"]["refusal"]["gate"] == "choice"
