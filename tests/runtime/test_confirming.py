"""Backends whose quick probe was wrong are detected before they are set up, and replaced."""

from __future__ import annotations

import sys
import threading
import types
from dataclasses import replace

import pytest

from allin1_core.contracts.verdict import Broken, Ready, StartUp
from allin1_core.errors import SelectionError, WeightsError
from allin1_core.runtime import backends
from allin1_core.runtime.pipeline import Pipeline
from allin1_core.runtime.track import Track
from allin1_core.testing.models import RANDOM_MODEL, model_plugin

READY = Ready("cpu")


@pytest.fixture
def lazy(backend_plugin, make_plugin, monkeypatch):
    """Make a plugin with a backend of this stage that seems ready; `verdict` is what its probe says."""

    def make(stage, factory, verdict=READY):
        (backend,) = getattr(backend_plugin(stage, lazy=factory), f"allin1_{stage}")()
        module = types.ModuleType("lazy_probes")
        module.asked = []
        module.look = lambda: Ready("cpu", "", (StartUp("lazy", 1e-9),))
        module.check = lambda: module.asked.append(1) or verdict
        monkeypatch.setitem(sys.modules, module.__name__, module)
        probes = {"probe": "lazy_probes:check", "quick_probe": "lazy_probes:look"}
        plugin = make_plugin(**{f"allin1_{stage}": lambda: [replace(backend, **probes)]})
        return plugin, module

    return make


def spectrogram(setup):
    from allin1_core.reference import spectrogram as reference

    return reference.create(setup)


def test_the_probe_is_asked_when_the_backend_is_set_up_and_not_before(make_session, lazy, stems):
    plugin, module = lazy("spectrogram", spectrogram)
    session = make_session(plugins={"lazy": plugin})
    session.decide(session.request(("spectrogram", "nn"), 6.0))
    assert module.asked == []
    for _ in range(2):
        result = session.analyze(stems.source)
        assert result.provenance.stages[0].backend == "lazy"
        assert module.asked == [1]


def test_one_that_is_not_ready_is_not_set_up_and_the_next_takes_over(make_session, lazy, stems):
    def never(setup):
        raise AssertionError("it was set up")

    plugin, module = lazy("spectrogram", never, Broken("OSError: libslow.so"))
    session = make_session(plugins={"lazy": plugin})
    result = session.analyze(stems.source)
    assert module.asked == [1]
    assert result.provenance.stages[0].backend == "reference"
    assert result.provenance.fallbacks == ()  # as if it had been known at once


def test_one_that_was_named_and_is_not_ready_is_an_error_that_says_why(make_session, lazy, stems):
    plugin, _ = lazy("spectrogram", spectrogram, Broken("OSError: libslow.so"))
    session = make_session(plugins={"lazy": plugin}, backends={"spectrogram": "lazy"})
    with pytest.raises(SelectionError, match=r"libslow\.so"):
        session.analyze(stems.source)


def test_explaining_asks_the_probe(make_session, lazy):
    plugin, module = lazy("spectrogram", spectrogram, Broken("OSError: libslow.so"))
    session = make_session(plugins={"lazy": plugin})
    assert "libslow.so" in str(session.explain(6.0))
    assert module.asked == [1]


@pytest.mark.parametrize("fails", ["probe", "run"])
def test_a_separator_that_turns_out_useless_leaves_the_song_to_the_other_model(
    lazy, isolated_plugins, model_folder, separator, write_song, monkeypatch, fails
):
    from allin1_core.runtime import model_choice
    from allin1_core.runtime.session import Session

    folder, card = model_folder
    monkeypatch.setattr(model_choice, "AUTO_MODELS", (RANDOM_MODEL, "builtin"))

    def useless(setup):
        raise OSError("libslow.so")

    verdict = Broken("OSError: libslow.so") if fails == "probe" else Ready("cpu")
    plugin, _ = lazy("demix", useless, verdict)
    session = Session(
        plugins=isolated_plugins(model=model_plugin(card), lazy=plugin), weights_dir=str(folder)
    )
    track = Track("song", write_song(seconds=4.0))
    assert session.choose_model(track).card.name == RANDOM_MODEL
    result = session.analyze(track)
    assert result.provenance.model == "builtin"
    assert "libslow.so" in result.provenance.model_reason
    assert len(result.provenance.fallbacks) == (fails == "run")


def test_what_the_route_needs_is_loaded_while_the_first_song_is_read(
    make_session, lazy, stems, monkeypatch
):
    plugin, module = lazy("spectrogram", spectrogram)
    asked, loaded = threading.Event(), threading.Event()
    module.check = lambda: asked.set() or Ready("cpu")
    read, load = Pipeline.read, backends.load_model

    def reading(*arguments):
        assert asked.wait(60)
        assert loaded.wait(60)
        read(*arguments)

    def loading(*arguments, **options):
        model = load(*arguments, **options)
        loaded.set()
        return model

    monkeypatch.setattr(Pipeline, "read", reading)
    monkeypatch.setattr(backends, "load_model", loading)
    session = make_session(plugins={"lazy": plugin})
    assert session.analyze(stems.source).provenance.stages[0].backend == "lazy"


def test_what_cannot_be_loaded_while_reading_is_reported_when_it_is_needed(
    make_session, stems, monkeypatch
):
    def missing(*arguments, **options):
        raise WeightsError("The file is damaged.")

    monkeypatch.setattr(backends, "load_model", missing)
    with pytest.raises(WeightsError, match="damaged"):
        make_session().analyze(stems.source)
