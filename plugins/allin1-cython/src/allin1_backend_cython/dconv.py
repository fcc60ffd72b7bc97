"""The residual branch of Demucs over time (``demucs.demucs.DConv``), compiled, in place.

Public interface for other plugins: it takes NumPy arrays and does not depend on PyTorch. The result is within 3e-6 of
that of PyTorch in single precision, relative to the root mean square of the values. The result does not depend on the number of threads.

>>> import numpy as np
>>> from allin1_backend_cython.dconv import DConv, Layer
>>> rng = np.random.default_rng(0)
>>> layer = Layer(
...     narrow_weight=rng.standard_normal((2, 16, 3)),
...     narrow_bias=np.zeros(2),
...     dilation=1,
...     narrow_gain=np.ones(2),
...     narrow_shift=np.zeros(2),
...     narrow_eps=1e-5,
...     widen_weight=rng.standard_normal((32, 2)),
...     widen_bias=np.zeros(32),
...     widen_gain=np.ones(32),
...     widen_shift=np.zeros(32),
...     widen_eps=1e-5,
...     scale=np.zeros(16),
... )
>>> x = np.ones((16, 100), np.float32)
>>> DConv([layer])(x, threads=2)
>>> bool((x == 1).all())  # with a scale of zero the branch adds nothing
True
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._dconv import BLOCK, STEP, Branch
from allin1_backend_cython.dconv_packing import Layer as Layer
from allin1_backend_cython.dconv_packing import pack
from allin1_backend_cython.running import Share, instruction_set, sharing, thread_count

#: Version of this module's interface, incremented on incompatible changes.
ABI = 1


class DConv:
    """A residual branch. Safe to call from several threads.

    Parameters
    ----------
    layers
        Layers, in the order in which they run.
    instructions
        Name of an instruction set; None for the fastest that the processor supports.

    Raises
    ------
    ValueError
        The shapes of a layer's arrays are inconsistent.
    allin1_core.errors.BackendError
        The processor does not support that instruction set.
    """

    def __init__(self, layers: Sequence[Layer], *, instructions: str | None = None) -> None:
        self._branch = Branch([pack(layer) for layer in layers], instruction_set(instructions))

    def __call__(self, x: NDArray[np.float32], /, *, threads: int | None = None) -> None:
        """Run the layers on `x` in place.

        Parameters
        ----------
        x
            float32 ``[C, T]``, or ``[C, F, T]`` with F independent signals; the samples of a row must be contiguous,
            rows and slices may have any stride.
        threads
            Number of threads; None for the number of processors.

        Raises
        ------
        ValueError
            `x` has another shape or layout.
        """
        if x.ndim not in (2, 3):
            raise ValueError("x must be [C, T] or [C, F, T].")
        if not x.size:
            return
        with sharing(thread_count(threads)) as share:
            if x.ndim == 3:
                share(partial(self._branch.slices, x), x.shape[1])
            else:
                for layer in range(self._branch.count):
                    self._one_signal(share, layer, x)

    def _one_signal(self, share: Share, layer: int, x: NDArray[np.float32]) -> None:
        """Run a layer on a long signal in three passes over its blocks."""
        branch, length = self._branch, x.shape[1]
        blocks = -(-length // BLOCK)
        h = np.empty((branch.hidden(layer), -(-length // STEP) * STEP), np.float32)
        sums, moments = np.empty((blocks, 2)), np.empty((blocks, 3))
        share(partial(branch.narrow, layer, x, h, sums), blocks)
        share(partial(branch.activate, layer, x, h, sums.sum(axis=0), moments), blocks)
        share(partial(branch.widen, layer, x, h, moments.sum(axis=0)), blocks)
