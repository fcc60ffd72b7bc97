"""What the distribution registers, and that reading it imports nothing."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import pytest
from allin1_backend_cython import hooks, probe

from allin1_core.contracts.verdict import Broken, Ready, Unavailable


def test_the_entry_point_leads_to_the_hooks() -> None:
    (point,) = entry_points(group="allin1", name="cython")
    assert point.value == "allin1_backend_cython.hooks"
    (network,) = hooks.allin1_nn()
    spectrogram, views = hooks.allin1_spectrogram()
    assert (network.name, network.stages) == ("cython", ("nn",))
    assert (spectrogram.name, spectrogram.stages) == ("cython", ("spectrogram",))
    assert (views.name, views.stages) == ("cython-mix", ("spectrogram",))
    assert (spectrogram.takes, views.takes) == ("stems", "mix")


@pytest.mark.parametrize("check", [probe.check_network, probe.check_spectrogram])
def test_the_probes_name_the_instruction_set(check) -> None:
    verdict = check()
    assert isinstance(verdict, Ready)
    assert verdict.detail in ("avx512", "avx2", "sse2", "neon", "scalar")


def test_a_missing_module_is_unavailable() -> None:
    verdict = probe.check("_no_such_module")
    assert isinstance(verdict, Unavailable)
    assert verdict.remedy


def test_a_module_that_does_not_load_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"{probe.PACKAGE}._network", None)
    monkeypatch.setattr(probe, "find_spec", lambda name: object())
    verdict = probe.check_network()
    assert isinstance(verdict, Broken)
    assert "Error" in verdict.error
