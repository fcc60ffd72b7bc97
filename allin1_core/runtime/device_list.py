"""Lists of devices: ``cuda:0,1``, ``cuda:all``."""

from __future__ import annotations

import ctypes
import sys

from allin1_core.errors import SettingsError


def parse_devices(device: str) -> tuple[str, ...]:
    """Split a list of devices of one kind.

    >>> parse_devices("cuda:0,1"), parse_devices("cuda:0,cuda:1"), parse_devices("mps")
    (('cuda:0', 'cuda:1'), ('cuda:0', 'cuda:1'), ('mps',))

    ``cuda:all`` stands for all devices that the driver shows to this process.

    Raises
    ------
    SettingsError
        It is not such a list, or the number of devices cannot be determined.
    """
    first, *others = device.split(",")
    kind = first.partition(":")[0]
    if device == f"{kind}:all":
        return tuple(f"{kind}:{index}" for index in range(_count(kind)))
    names = [first, *(o if ":" in o else f"{kind}:{o}" for o in others)]
    indices = [name.partition(":")[2] for name in names]
    if others and not all(index.isdecimal() for index in indices):
        raise SettingsError(
            f"{device} is not a list of devices.", remedy="Use the form cuda:0,1 or cuda:all."
        )
    return tuple(dict.fromkeys(names))


def _count(kind: str) -> int:
    """Number of devices of a kind, at least 1."""
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
    """Number of CUDA devices that the driver shows to this process; 0 if there is no driver.

    The driver respects ``CUDA_VISIBLE_DEVICES``, so it numbers devices like array libraries do.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value
