"""What a session currently holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from allin1_core.runtime.engine import Engine


@dataclass(frozen=True)
class SessionStatus:
    """What a session currently holds.

    Attributes
    ----------
    models
        Models that it may use, as far as they have been created.
    loaded
        Models whose parameters are in memory.
    backends
        Backends that are set up, such as ``nn=torch-cuda``; they may hold memory of a device.
    """

    models: tuple[str, ...]
    loaded: tuple[str, ...]
    backends: tuple[str, ...]

    @property
    def is_loaded(self) -> bool:
        """Whether a model is in memory."""
        return bool(self.loaded)


def status_of(engines: Iterable[Engine]) -> SessionStatus:
    """Collect what `engines` hold."""
    engines = tuple(engines)
    names = {
        f"{stage}={name}": None for engine in engines for stage, name in engine.backends.set_up
    }
    return SessionStatus(
        tuple(engine.card.name for engine in engines),
        tuple(engine.card.name for engine in engines if engine.backends.is_loaded),
        tuple(names),
    )
