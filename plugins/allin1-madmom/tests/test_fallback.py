"""How ``auto`` uses this plugin: as the last choice, and as the fallback of every other backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import STAGES, Setup, Task
from allin1_core.reference import metrical_dbn, spectrogram
from allin1_core.runtime.session import Session
from allin1_core.testing import signals

from allin1_backend_madmom import hooks

QUICK = (Speed("cpu", 0.0, 1e-9, "a test"),)


@pytest.fixture
def plugins(
    isolated_plugins: Callable[..., Any],
    make_plugin: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Any:
    """This plugin, the reference, and a plugin that declares a high speed and always fails."""
    (tmp_path / "quick_failure.py").write_text(
        "def create(setup):\n    raise OSError('no device')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    target = "quick_failure:create"
    quick = make_plugin(
        allin1_spectrogram=lambda: [Backend("quick", "spectrogram", target, speed=QUICK)],
        allin1_metrical_dbn=lambda: [Backend("quick", "metrical_dbn", target, speed=QUICK)],
    )
    return isolated_plugins(madmom=hooks, quick=quick)


def fail(setup: Setup) -> Any:
    raise MemoryError("out of memory")


def test_the_reference_comes_before_madmom_because_it_is_faster(plugins: Any) -> None:
    with Session("harmonix-all", plugins=plugins) as session:
        candidates = session.candidates(session.request(STAGES, 180.0))
    for stage in ("spectrogram", "metrical_dbn"):
        names = [c.backend.name for c in candidates[stage] if c.is_eligible]
        assert names == ["quick", "reference", "madmom"]


def test_madmom_is_the_fallback_of_every_backend_that_fails(
    plugins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stems, activations = signals.music_stems(1.0), signals.song_activations(300)
    wanted = spectrogram.create(Setup())(stems, Task()).frames
    setup = Setup(metre=Session("harmonix-all", plugins=plugins).engine.backends.metre)
    beats = metrical_dbn.create(setup)(activations, Task()).beat_times_s
    monkeypatch.setattr(metrical_dbn, "create", fail)
    with Session("harmonix-all", plugins=plugins) as session:
        run = session.run(activations, outputs=["beats"])
    assert [record.backend for record in run.records] == ["madmom"]
    assert ["quick" in text for text in run.fallbacks] == [True, False]
    np.testing.assert_array_equal(run.products.metre.beat_times_s, beats)

    # From stems, the network would have to run as well; it is enough to check the route after the others failed.
    monkeypatch.setattr(spectrogram, "create", fail)
    with Session("harmonix-all", plugins=plugins) as session:
        for name in ("quick", "reference"):
            request = session.request(("spectrogram",), 180.0)
            decision = session.decide(request)
            (step,) = decision.chosen.steps
            assert step.backend.name == name
            session.engine.exclude(decision.candidate(step.backend), "it failed")
        decision = session.decide(request)
        (step,) = decision.chosen.steps
        output = session.engine.backends.callable_of(decision.candidate(step.backend))(
            stems, Task()
        )
    assert step.backend.name == "madmom"
    assert isinstance(output, LogSpectrogram)
    assert np.abs(output.frames - wanted).max() <= 1e-6


def test_a_named_backend_is_used(plugins: Any) -> None:
    with Session(backends={"metrical_dbn": "madmom"}, plugins=plugins) as session:
        run = session.run(signals.song_activations(300), outputs=["beats"])
    assert [record.backend for record in run.records] == ["madmom"]
    assert run.fallbacks == []


def test_auto_works_beside_a_torch_that_raises_on_import(tmp_path: Path) -> None:
    """Use allin1-torch if it is installed, and always a plugin that needs torch."""
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: no such file')\n")
    metadata = tmp_path / "torch-2.13.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n")
    (tmp_path / "needs_torch.py").write_text(
        textwrap.dedent(
            """
            from allin1_core.contracts.backend import Backend
            from allin1_core.contracts.speed import Speed
            from allin1_core.markers import hookimpl

            QUICK = (Speed("cpu", 0.0, 1e-9, "a test"),)

            @hookimpl
            def allin1_metrical_dbn():
                yield Backend("needs-torch", "metrical_dbn", "needs_torch:create", speed=QUICK)

            @hookimpl
            def allin1_spectrogram():
                probe = "needs_torch:create"
                yield Backend("needs-torch", "spectrogram", "needs_torch:create", probe=probe, speed=QUICK)

            def create(setup=None):
                import torch
            """
        )
    )
    code = """
        import importlib.util, json, logging
        logging.disable(logging.WARNING)
        import needs_torch
        from allin1_backend_madmom import hooks as madmom
        from allin1_core.contracts.stages import STAGES
        from allin1_core.plugins.loading import load_plugins
        from allin1_core.runtime.session import Session
        from allin1_core.testing import signals
        extra = {"madmom": madmom, "needs-torch": needs_torch}
        if importlib.util.find_spec("allin1_backend_torch"):
            from allin1_backend_torch import hooks as torch_hooks
            extra["torch"] = torch_hooks
        plugins = load_plugins(extra=extra, autoload=False)
        with Session("harmonix-all", plugins=plugins) as session:
            run = session.run(signals.song_activations(300), outputs=["beats"])
            candidates = session.candidates(session.request(STAGES[1:], 180.0))
            route = session.decide(session.request(("spectrogram",), 180.0)).chosen
        print(json.dumps({
            "ran": [r.backend for r in run.records],
            "fallbacks": run.fallbacks,
            "route": str(route),
            "eligible": {s: [c.backend.name for c in cs if c.is_eligible] for s, cs in candidates.items()},
            "refused": [str(c.refusal) for c in candidates["spectrogram"] if not c.is_eligible],
        }))
    """
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["ran"] == ["reference"]
    assert "libcudart.so.12" in told["fallbacks"][0]
    assert told["route"] == "spectrogram=reference"
    assert told["eligible"]["spectrogram"] == ["reference", "madmom"]
    assert any("libcudart.so.12" in reason for reason in told["refused"])
