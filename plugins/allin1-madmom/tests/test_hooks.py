"""What the distribution registers, and that reading it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, requires

import pytest

from allin1_backend_madmom import hooks
from allin1_backend_madmom.provider import load

STAGES = ("demix", "spectrogram", "metrical_dbn")


def offered():
    return [b for stage in STAGES for b in getattr(hooks, f"allin1_{stage}")()]


def test_declaring_imports_neither_madmom_nor_numpy() -> None:
    code = (
        "import sys; from allin1_backend_madmom import hooks;"
        f"[list(getattr(hooks, 'allin1_' + s)()) for s in {(*STAGES, 'models')!r}];"
        "print(*[m for m in ('madmom', 'madmom_infer', 'numpy', 'scipy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_the_entry_point_leads_to_the_hooks() -> None:
    (point,) = entry_points(group="allin1", name="madmom")
    assert point.value == "allin1_backend_madmom.hooks"


def test_an_installation_needs_no_compiler() -> None:
    wanted = [text for text in requires("allin1-madmom") or [] if "extra" not in text]
    names = {text.split(">")[0].split("<")[0].strip() for text in wanted}
    assert names == {"allin1-core", "madmom-infer", "numpy"}


@pytest.mark.parametrize("backend", offered(), ids=lambda b: b.stage)
def test_what_a_backend_names_exists(backend) -> None:
    for target in (backend.target, backend.probe):
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_model_runs_on_the_one_backend_that_knows_it() -> None:
    (card,) = hooks.allin1_models()
    (backend,) = hooks.allin1_demix()
    assert card.architecture in backend.models
    assert backend.stages == ("demix", "spectrogram", "nn", "metrical_prep")
    assert card.outputs == ("beats",)
    assert not card.files
    assert "CC BY-NC-SA 4.0" in card.licence
    tracker = load().module("features.downbeats").DBNDownBeatTrackingProcessor
    assert card.downbeat_threshold == tracker.THRESHOLD
