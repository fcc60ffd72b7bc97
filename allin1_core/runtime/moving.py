"""Moving records between array libraries and devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from allin1_core.contracts.arrays import Array, move_arrays
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.errors import PLUGIN_FAILURES, BackendError, in_full
from allin1_core.runtime.reusable_memory import lock_memory_of
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import load_target

D = TypeVar("D")


def cross(data: D, bridges: Sequence[Bridge], device: str) -> D:
    """Move every array of `data` over `bridges` in order.

    Parameters
    ----------
    data
        A record of the contracts.
    bridges
        Bridges in order; if there are none, `data` is returned unchanged.
    device
        Name of the final device (``cuda:1``). For other devices on the way, a bridge receives their kind.

    Raises
    ------
    BackendError
        A bridge fails.
    """
    for bridge in bridges:
        kind = bridge.destination.device
        name = device if device.partition(":")[0] == kind else kind
        try:
            move = load_target(bridge.target)
            data = move_arrays(data, partial(_call, bridge, move, name))
        except PLUGIN_FAILURES as error:
            raise BackendError(
                f"Moving arrays from {bridge.source} to {bridge.destination} failed:"
                f" {in_full(error)}"
            ) from error
    return data


def bring_home(data: D, space: Space, network: BridgeNetwork) -> D:
    """Move a record from `space` to NumPy.

    Raises
    ------
    BackendError
        No bridge leads there, or one fails.
    """
    return cross(data, network.way(space, HOST), HOST.device)


def read_only(data: D) -> D:
    """The same record with read-only NumPy arrays; arrays of other libraries are unchanged.

    >>> import numpy as np
    >>> from allin1_core.contracts.logits import Activations
    >>> read_only(Activations(np.zeros((3, 2)))).values.flags.writeable
    False
    """
    return move_arrays(data, _locked)


def copied(data: D) -> D:
    """The same record with copies of its arrays, which must be NumPy's."""
    return move_arrays(data, np.array)


def _locked(array: Array) -> Array:
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


def _call(bridge: Bridge, move: Callable[[Array, str], Array], device: str, array: Array) -> Array:
    lock_memory_of(array, bridge)
    return move(array, device)


def space_of(array: Array) -> Space:
    """Determine where an array is located, by the module of its type and its ``device``.

    >>> import numpy as np
    >>> str(space_of(np.zeros(3)))
    'numpy/cpu'
    """
    library = type(array).__module__.partition(".")[0]
    if library == "numpy":
        return HOST
    device: Any = getattr(array, "device", "cpu")
    kind = getattr(device, "type", None) or str(device)
    return Space(library, str(kind).partition(":")[0])


def lies_in(array: Array, space: Space) -> bool:
    """Whether an array is located in `space`; if it has no ``device``, only its library is compared."""
    found = space_of(array)
    has_device = space == HOST or hasattr(array, "device")
    return found == space if has_device else found.library == space.library
