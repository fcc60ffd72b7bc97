"""Runs the standard tests of a class without pytest, with a verdict for each."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, brief, in_full
from allin1_core.testing.skipping import DoesNotApply

log = logging.getLogger(__name__)

State = Literal["kept", "broken", "not checked"]


@dataclass(frozen=True)
class PromiseVerdict:
    """The verdict on one promise.

    Attributes
    ----------
    subject
        Its subject: ``plugin``, ``nn=mine``, ``exporter mine``.
    promise
        The promise, in words.
    state
        ``kept``; ``broken``; ``not checked``: it cannot be checked here.
    text
        Why it is broken, and what to do; why it was not checked; or what was measured.
    """

    subject: str
    promise: str
    state: State
    text: str = ""


def run_tests(
    kind: type, subject: str, *, without: Collection[str] = ()
) -> Iterator[PromiseVerdict]:
    """Run the tests of a class of :mod:`allin1_core.testing.conformance`, each on its own object.

    Tests that do not apply are left out.

    Parameters
    ----------
    kind
        The class. Tests that take fixtures are left out.
    subject
        Subject of the verdicts.
    without
        Names of tests that are left out.
    """
    for name in _names(kind):
        if name not in without and len(inspect.signature(getattr(kind, name)).parameters) == 1:
            test = getattr(kind(), name)
            outcome = _outcome(test)
            if outcome is not None:
                yield PromiseVerdict(subject, words_of(name), *outcome)


def words_of(name: str) -> str:
    """The name of a test in words.

    >>> words_of("test_inputs_stay_as_they_were")
    'inputs stay as they were'
    """
    return name.removeprefix("test_").replace("_", " ")


def _names(kind: type) -> list[str]:
    """Names of the tests in the order of their definition, those of base classes first."""
    found: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        found.update((name, None) for name in vars(base) if name.startswith("test_"))
    return list(found)


def _outcome(test: Callable[[], Any]) -> tuple[State, str] | None:
    try:
        test()
    except DoesNotApply:
        return None
    except pytest.skip.Exception as skipped:
        return "not checked", str(skipped)
    except pytest.fail.Exception as failed:
        return "broken", str(failed)
    except AssertionError as error:
        # pytest may have appended its own explanation to the message.
        return "broken", brief(error).removeprefix("AssertionError: ")
    except Allin1Error as error:
        return "broken", str(error)
    except PLUGIN_FAILURES as error:
        log.debug("a standard test raised", exc_info=True)
        return "broken", f"it raised {in_full(error)}: --traceback shows where"
    return "kept", ""
