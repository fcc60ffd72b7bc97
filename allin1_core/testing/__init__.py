"""What authors of plugins need to test them: conformance classes, seeded data, isolated plugin managers.

Subclass the class of a stage in :mod:`allin1_core.testing.conformance`; take signals from
:mod:`allin1_core.testing.signals`, parameters of the network from :mod:`allin1_core.testing.weights`, and
``pytest_plugins = ["allin1_core.testing.fixtures"]`` for fixtures. The classes and fixtures need the extra
``allin1-core[testing]``.
"""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):
    import pytest

    # pytest explains a failed assertion only in modules that it was told of before they are imported.
    pytest.register_assert_rewrite("allin1_core.testing.conformance")
