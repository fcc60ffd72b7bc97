"""The markers that plugins put on their hooks. Importing this module imports only pluggy.

>>> from allin1_core.markers import hookimpl
>>> @hookimpl
... def allin1_nn():
...     return []
"""

from __future__ import annotations

import pluggy

#: Name of the pluggy project, of the entry-point group, and prefix of every hook.
PROJECT = "allin1"

#: Level of the contract between the core and its plugins. It rises when a record gains a meaning that
#: an older core would get wrong; a backend that was written for a higher level is refused, with a reason.
API_LEVEL = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
