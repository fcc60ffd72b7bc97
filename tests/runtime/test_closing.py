"""Backends are closed: those that failed immediately, the others with the session; errors are logged."""

from __future__ import annotations

import logging

import pytest

from allin1_core.errors import BackendError
from allin1_core.reference import functional, metrical_prep, network
from allin1_core.testing.conformance import measure
from allin1_core.testing.signals import song_logits


def closing(module, closed, name, *, fails=None, closes_with=None):
    """A backend that is the reference, notes that it was closed, and may fail in both."""

    class Closing:
        def __init__(self, setup):
            self.call = module.create(setup)

        def __call__(self, data, task):
            if fails is not None:
                raise fails
            return self.call(data, task)

        def close(self):
            closed.append(name)
            if closes_with is not None:
                raise closes_with

    return Closing


@pytest.mark.parametrize("error", [RuntimeError("lost"), MemoryError()])
def test_a_backend_that_failed_is_closed_before_the_next_begins(
    make_session, backend_plugin, stems, error
):
    closed = []

    class Next(closing(network, closed, "next")):
        def __call__(self, data, task):
            assert closed == ["bad"]
            return super().__call__(data, task)

    plugin = backend_plugin("nn", next=Next, bad=closing(network, closed, "bad", fails=error))
    with make_session(plugins={"mine": plugin}) as session:
        run = session.run(stems, outputs=["logits"])
        assert closed == ["bad"]
    assert [told.split()[1] for told in run.fallbacks] == ["nn=bad"]
    assert closed == ["bad", "next"]


@pytest.mark.parametrize("error", [OSError("device lost"), SystemExit(3)])
def test_what_closing_raises_is_logged_and_the_others_are_closed(
    make_session, backend_plugin, stems, caplog, error
):
    closed = []
    plugins = {
        "one": backend_plugin("nn", a=closing(network, closed, "nn", closes_with=error)),
        "two": backend_plugin("metrical_prep", b=closing(metrical_prep, closed, "prep")),
        "three": backend_plugin(
            "functional",
            c=closing(functional, closed, "functional", fails=ValueError(), closes_with=error),
        ),
    }
    with make_session() as session:
        wanted = session.run(stems).products
    with caplog.at_level(logging.WARNING):
        with make_session(plugins=plugins) as session:
            run = session.run(stems)
    assert sorted(closed) == ["functional", "nn", "prep"]
    assert f"Backend nn=a could not be closed: {type(error).__name__}" in caplog.text
    assert f"Backend functional=c could not be closed: {type(error).__name__}" in caplog.text
    assert measure(wanted.metre, run.products.metre) == 0
    assert run.products.sections == wanted.sections


def test_a_backend_that_was_named_and_failed_is_closed_with_the_session(
    make_session, backend_plugin
):
    closed = []
    bad = closing(metrical_prep, closed, "bad", fails=RuntimeError("lost"))
    plugins = {"mine": backend_plugin("metrical_prep", bad=bad)}
    with make_session(plugins=plugins, backends={"metrical_prep": "bad"}) as session:
        with pytest.raises(BackendError, match="lost"):
            session.run(song_logits(300))
    assert closed == ["bad"]
