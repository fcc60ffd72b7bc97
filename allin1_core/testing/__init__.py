"""Test utilities for authors of plugins: conformance classes, seeded data, fixtures.

Subclass the classes in :mod:`allin1_core.testing.conformance`; :mod:`allin1_core.testing.signals` has signals,
:mod:`allin1_core.testing.results` has results, and :mod:`allin1_core.testing.weights` parameters of the network. pytest
loads the fixtures of :mod:`allin1_core.testing.pytest_plugin` automatically. Everything requires the extra
``allin1-core[testing]``; docs/testing.md describes it.
"""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):
    import pytest

    # pytest explains failed assertions only in modules that are registered before they are imported.
    pytest.register_assert_rewrite("allin1_core.testing.conformance")
