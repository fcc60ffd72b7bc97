"""What the distribution registers, and that reading it imports nothing."""

from __future__ import annotations

from importlib.metadata import requires

from allin1_backend_madmom import hooks
from allin1_backend_madmom.provider import load

STAGES = ("demix", "spectrogram", "metrical_dbn")


def offered():
    return [b for stage in STAGES for b in getattr(hooks, f"allin1_{stage}")()]


def test_an_installation_needs_no_compiler() -> None:
    wanted = [text for text in requires("allin1-madmom") or [] if "extra" not in text]
    names = {text.split(">")[0].split("<")[0].strip() for text in wanted}
    assert names == {"allin1-core", "madmom-infer", "numpy"}


def test_the_model_runs_only_on_the_backend_that_supports_it() -> None:
    (card,) = hooks.allin1_models()
    (backend,) = hooks.allin1_demix()
    assert card.architecture in backend.models
    assert backend.stages == ("demix", "spectrogram", "nn", "metrical_prep")
    assert card.outputs == ("beats",)
    assert not card.files
    assert "CC BY-NC-SA 4.0" in card.licence
    tracker = load().module("features.downbeats").DBNDownBeatTrackingProcessor
    assert card.downbeat_threshold == tracker.THRESHOLD
