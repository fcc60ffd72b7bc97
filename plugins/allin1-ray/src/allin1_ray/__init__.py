"""Runs allin1 on a cluster, by Ray.

``allin1 analyze --executor ray`` runs a batch of the command line there; :func:`analyze` takes manifests and songs in
object stores, too, and writes results there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allin1_ray.api import Progress, Summary, analyze

__all__ = ["Progress", "Summary", "analyze"]


def __getattr__(name: str) -> Any:
    # The hooks lie in this package, and are imported by every command: they must not wait for Ray.
    if name in __all__:
        from allin1_ray import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
