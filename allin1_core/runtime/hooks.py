"""The core's own executor, registered like any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.executor import Executor
from allin1_core.markers import hookimpl


@hookimpl
def allin1_executors() -> Iterable[Executor]:
    """Offer the executor that runs batches on this machine."""
    yield Executor(
        "local",
        "This process, or several of this machine (-j, --device cuda:0,1)",
        "allin1_core.runtime.executors:create_local",
    )
