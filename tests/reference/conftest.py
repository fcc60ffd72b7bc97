"""The original madmom, if it can be imported."""

from __future__ import annotations

import pytest

from allin1_core.testing.madmom import as_madmom_expects, madmom_or_skip


@pytest.fixture(scope="module")
def madmom():
    """madmom 0.16 with the names that it expects of older Pythons and NumPys, for the tests of one module."""
    with as_madmom_expects():
        yield madmom_or_skip()
