"""What the distribution registers, and that reading it imports nothing."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import pytest
from allin1_backend_dbn_cython import hooks, probe

from allin1_core.contracts.verdict import Broken, Ready, Unavailable


def test_the_entry_point_leads_to_the_hooks() -> None:
    (point,) = entry_points(group="allin1", name="dbn-cython")
    assert point.value == "allin1_backend_dbn_cython.hooks"
    (backend,) = hooks.allin1_metrical_dbn()
    assert (backend.name, backend.stages) == ("dbn-cython", ("metrical_dbn",))
    assert backend.parity.level == "identical"


def test_the_probe_names_the_instruction_set() -> None:
    verdict = probe.check()
    assert isinstance(verdict, Ready)
    assert verdict.detail in ("avx512", "avx2", "sse2", "neon", "scalar")


def test_a_missing_module_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, probe.MODULE, None)
    monkeypatch.delattr("allin1_backend_dbn_cython._kernel", raising=False)
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    verdict = probe.check()
    assert isinstance(verdict, Unavailable)
    assert verdict.remedy


def test_a_module_that_does_not_load_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, probe.MODULE, None)
    monkeypatch.delattr("allin1_backend_dbn_cython._kernel", raising=False)
    monkeypatch.setattr(probe, "find_spec", lambda name: object())
    verdict = probe.check()
    assert isinstance(verdict, Broken)
    assert "Error" in verdict.error
