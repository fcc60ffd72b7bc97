from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython.dconv_packing import Packed

BLOCK: int
STEP: int

class Branch:
    count: int
    channels: int

    def __init__(self, layers: Sequence[Packed], instruction_set: str) -> None: ...
    def hidden(self, layer: int) -> int: ...
    def slices(self, x: NDArray[np.float32], first: int, end: int) -> None: ...
    def narrow(
        self,
        layer: int,
        x: NDArray[np.float32],
        h: NDArray[np.float32],
        sums: NDArray[np.float64],
        first: int,
        end: int,
    ) -> None: ...
    def activate(
        self,
        layer: int,
        x: NDArray[np.float32],
        h: NDArray[np.float32],
        sums: NDArray[np.float64],
        moments: NDArray[np.float64],
        first: int,
        end: int,
    ) -> None: ...
    def widen(
        self,
        layer: int,
        x: NDArray[np.float32],
        h: NDArray[np.float32],
        moments: NDArray[np.float64],
        first: int,
        end: int,
    ) -> None: ...
