"""Moving records between array libraries and devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from allin1_core.contracts.arrays import Array, move_arrays
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.errors import PLUGIN_FAILURES, BackendError, in_full
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import load_target

D = TypeVar("D")


def cross(data: D, bridges: Sequence[Bridge], device: str) -> D:
    """Bring every array of `data` over `bridges` in order.

    Parameters
    ----------
    data
        A record of the contracts.
    bridges
        In order; none leaves `data` as it is.
    device
        Name of the device at the end (``cuda:1``). On the way there, a bridge is told its own kind.

    Raises
    ------
    BackendError
        If a bridge fails.
    """
    for bridge in bridges:
        kind = bridge.destination.device
        name = device if device.partition(":")[0] == kind else kind
        try:
            move = load_target(bridge.target)
            data = move_arrays(data, partial(_call, move, name))
        except PLUGIN_FAILURES as error:
            raise BackendError(
                f"Moving arrays from {bridge.source} to {bridge.destination} failed:"
                f" {in_full(error)}"
            ) from error
    return data


def bring_home(data: D, space: Space, network: BridgeNetwork) -> D:
    """Bring a record from `space` to NumPy.

    Raises
    ------
    BackendError
        If no bridge leads there, or one fails.
    """
    return cross(data, network.way(space, HOST), HOST.device)


def read_only(data: D) -> D:
    """The same record, whose NumPy arrays cannot be written to; other libraries' arrays are left as they are.

    >>> import numpy as np
    >>> from allin1_core.contracts.logits import Activations
    >>> read_only(Activations(np.zeros((3, 2)))).values.flags.writeable
    False
    """
    return move_arrays(data, _locked)


def copied(data: D) -> D:
    """The same record with copies of its arrays, which are NumPy's."""
    return move_arrays(data, np.array)


def _locked(array: Array) -> Array:
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


def _call(move: Callable[[Array, str], Array], device: str, array: Array) -> Array:
    return move(array, device)


def space_of(array: Array) -> Space:
    """Tell where an array lives, by its type's module and its ``device``.

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
    """Whether an array lives in `space`; where it does not name its device, its library has to do."""
    found = space_of(array)
    has_device = space == HOST or hasattr(array, "device")
    return found == space if has_device else found.library == space.library
