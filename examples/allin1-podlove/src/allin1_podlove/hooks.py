"""The hooks of this plugin. Imported by every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.export import Exporter
from allin1_core.markers import hookimpl


@hookimpl
def allin1_exporters() -> Iterable[Exporter]:
    """Provide a format with one file per song."""
    yield Exporter(
        name="podlove",
        suffix=".psc",
        summary="Podlove Simple Chapters of the sections",
        target="allin1_podlove.chapters:write",
    )
