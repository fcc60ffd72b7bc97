"""Attention of several heads, compiled, without storing the scores.

Public interface for other plugins: it takes NumPy arrays and does not depend on PyTorch. The result is as accurate as that
of PyTorch in single precision, and does not depend on the number of threads. There are kernels for AVX-512 and AVX2 only;
:func:`is_available` tells whether the processor runs one of them.

>>> import numpy as np
>>> from allin1_backend_cython.attention import attend, is_available
>>> q, k, v = np.random.default_rng(0).standard_normal((3, 1, 20, 32)).astype(np.float32)
>>> out = np.empty_like(q)
>>> if is_available():
...     attend(q, k, v, out, heads=4)
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython import _attention
from allin1_backend_cython._attention import STEP as STEP
from allin1_backend_cython.running import instruction_set, sharing, thread_count

#: Version of this module's interface, incremented on incompatible changes.
ABI = 1


def is_available() -> bool:
    """Whether there is a kernel for the instruction set that this process uses."""
    return instruction_set() in _attention.instruction_sets()


def attend(
    q: NDArray[np.float32],
    k: NDArray[np.float32],
    v: NDArray[np.float32],
    out: NDArray[np.float32],
    /,
    *,
    heads: int,
    threads: int | None = None,
    instructions: str | None = None,
) -> None:
    """Compute ``softmax(q k' / sqrt(width)) v`` for each head. Safe to call from several threads.

    Parameters
    ----------
    q, out
        float32 ``[segments, queries, channels]``; channels must be contiguous, and those of a head are adjacent.
    k, v
        float32 ``[segments, keys, channels]``, with at least one key.
    heads
        Number of heads, each with the same number of channels, a multiple of :data:`STEP`.
    threads
        Number of threads; None for the number of processors.
    instructions
        Name of an instruction set; None for the fastest that the processor supports.

    Raises
    ------
    ValueError
        The arrays have other shapes or layouts, or there is no kernel for the instruction set.
    allin1_core.errors.BackendError
        The processor does not support that instruction set.
    """
    if heads < 1:
        raise ValueError("heads must be at least 1")
    threads, own = thread_count(threads), instruction_set(instructions)
    items = len(q) * heads
    parts = -(-threads // max(1, items))
    work = partial(_attention.attend, own, q, k, v, out, heads, parts)
    with sharing(threads) as share:
        share(work, items * parts)
