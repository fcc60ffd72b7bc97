"""Ways to break a plugin, each named by 'allin1 plugin check' in a line that says what to do."""

from __future__ import annotations

from ways_to_break import of_backends, of_loading, of_plugins, of_records
from ways_to_break.way import Way as Way

WAYS = [*of_loading.WAYS, *of_plugins.WAYS, *of_backends.WAYS, *of_records.WAYS]
