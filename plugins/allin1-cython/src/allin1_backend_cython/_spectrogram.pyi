from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython.spectrogram_tables import Tables

class Transform:
    def __init__(self, tables: Tables, instruction_set: str) -> None: ...
    def frames(self, samples: NDArray[Any], first: int, out: NDArray[np.float32]) -> None: ...
    def magnitudes(
        self, samples: NDArray[Any], first: int, out: NDArray[np.float32], difference: bool
    ) -> None: ...
    def separate(
        self,
        mid: NDArray[np.float32],
        first: int,
        percussive: NDArray[np.float32],
        harmonic: NDArray[np.float32],
    ) -> None: ...
    def logarithms(self, values: NDArray[np.float32]) -> None: ...
