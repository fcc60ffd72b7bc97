from __future__ import annotations

import importlib
import subprocess
import sys

import pluggy
import pytest

from allin1_core.contracts.parity import IDENTICAL
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import STAGES
from allin1_core.hookspecs import SPECS
from allin1_core.markers import PROJECT
from allin1_core.reference import hooks

STAGES_WITH_REFERENCE = [stage for stage in STAGES if stage != "demix"]


def registered(stage):
    manager = pluggy.PluginManager(PROJECT)
    for spec in SPECS:
        manager.add_hookspecs(spec)
    manager.register(hooks)
    manager.check_pending()
    return [b for found in getattr(manager.hook, f"allin1_{stage}")() for b in found]


@pytest.mark.parametrize("stage", STAGES_WITH_REFERENCE)
def test_each_stage_behind_demix_has_a_backend_on_the_host(stage):
    wanted = [("reference", "stems")]
    wanted += [("reference-mix", "mix")] if stage == "spectrogram" else []
    assert [(backend.name, backend.takes) for backend in registered(stage)] == wanted
    for backend in registered(stage):
        assert backend.stages == (stage,)
        assert (backend.consumes, backend.produces) == (HOST, HOST)
        assert backend.parity == IDENTICAL
        assert [speed.device for speed in backend.speed] == ["cpu"]
        assert backend.speed[0].cost_s(180.0) > 0


def test_a_mix_needs_a_plugin():
    assert registered("demix") == []


@pytest.mark.parametrize("stage", STAGES_WITH_REFERENCE)
def test_targets_can_be_imported(stage):
    for backend in registered(stage):
        module, _, factory = backend.target.partition(":")
        assert callable(getattr(importlib.import_module(module), factory))


def test_reading_the_declarations_imports_no_numpy():
    code = (
        "import sys, allin1_core.reference.hooks as h;"
        "[list(getattr(h, name)()) for name in dir(h) if name.startswith('allin1_')];"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
