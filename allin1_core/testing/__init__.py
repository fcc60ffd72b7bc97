"""What authors of plugins need to test them: conformance classes, seeded data, isolated plugin managers.

Subclass the classes in :mod:`allin1_core.testing.conformance`; take signals from :mod:`allin1_core.testing.signals`, results from
:mod:`allin1_core.testing.results`, parameters of the network from :mod:`allin1_core.testing.weights`. pytest finds the fixtures of
:mod:`allin1_core.testing.pytest_plugin` by itself. All of it needs the extra ``allin1-core[testing]``, and docs/testing.md describes it.
"""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):
    import pytest

    # pytest explains a failed assertion only in modules that it was told of before they are imported.
    pytest.register_assert_rewrite("allin1_core.testing.conformance")
