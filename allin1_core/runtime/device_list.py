"""Lists of devices: ``cuda:0,1``, ``cuda:all``."""

from __future__ import annotations

import ctypes
import sys

from allin1_core.errors import SettingsError


def parse_devices(device: str) -> tuple[str, ...]:
    """Split a list of devices of one kind.

    >>> parse_devices("cuda:0,1"), parse_devices("cuda:0,cuda:1"), parse_devices("mps")
    (('cuda:0', 'cuda:1'), ('cuda:0', 'cuda:1'), ('mps',))

    ``cuda:all`` gives all that the driver shows to this process.

    Raises
    ------
    SettingsError
        It is no such list, or how many devices there are cannot be found out.
    """
    first, *others = device.split(",")
    kind = first.partition(":")[0]
    if device == f"{kind}:all":
        return tuple(f"{kind}:{index}" for index in range(_count(kind)))
    names = [first, *(o if ":" in o else f"{kind}:{o}" for o in others)]
    indices = [name.partition(":")[2] for name in names]
    if others and not all(index.isdecimal() for index in indices):
        raise SettingsError(f"{device} is no list of devices.", remedy="Write cuda:0,1 or cuda:all")
    return tuple(dict.fromkeys(names))


def _count(kind: str) -> int:
    """How many devices of a kind there are, 1 or more."""
    if kind != "cuda":
        raise SettingsError(
            f"{kind}:all: only devices of the kind cuda can be counted.",
            remedy=f"List them: {kind}:0,1",
        )
    count = _count_of_driver()
    if not count:
        raise SettingsError(
            "cuda:all: NVIDIA's driver is not installed, or shows no device to this process.",
            remedy="See 'nvidia-smi -L' and the variable CUDA_VISIBLE_DEVICES, or list them: cuda:0,1",
        )
    return count


def _count_of_driver() -> int:
    """CUDA devices as the driver counts them for this process; 0 where there is no driver.

    The driver honours ``CUDA_VISIBLE_DEVICES``, and so numbers devices as array libraries do.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value
