"""Skipping of tests that cannot run here."""

from __future__ import annotations

from typing import NoReturn

import pytest
from _pytest.outcomes import Skipped  # what pytest.skip raises; there is no other way to name it

from allin1_core.contracts.verdict import Broken, Unavailable, Verdict


def device_or_skip(name: str, verdict: Verdict) -> str:
    """Return the device of a backend called `name`; skip the test if it cannot run, fail it if it is broken."""
    if isinstance(verdict, Broken):
        pytest.fail(f"{name}: its probe says that it is broken: {verdict.error}")
    if isinstance(verdict, Unavailable):
        # Without the remedy, which is for users.
        pytest.skip(f"{name}: {verdict.reason}")
    return verdict.device


class DoesNotApply(Skipped):
    """A test concerns a feature that does not exist, unlike one that cannot run here; it is not reported."""


def does_not_apply(reason: str) -> NoReturn:
    """Skip a test that does not apply."""
    raise DoesNotApply(reason)
