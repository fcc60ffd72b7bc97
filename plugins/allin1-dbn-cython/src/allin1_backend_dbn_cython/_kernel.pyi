import numpy as np
from numpy.typing import NDArray

from allin1_backend_dbn_cython.tables import MetreTables

Visit = tuple[int, int, int]

def instruction_sets() -> list[str]: ...

class Lattice:
    def __init__(
        self,
        tables: MetreTables,
        series: NDArray[np.float64],
        entries: NDArray[np.float64],
        instruction_set: str,
    ) -> None: ...
    @property
    def frames(self) -> int: ...
    @property
    def shortest(self) -> int: ...
    def advance(self, begin: int, end: int, exits: NDArray[np.float64]) -> None: ...
    def finish(self, scores: NDArray[np.float64]) -> None: ...
    def best_end(self, scores: NDArray[np.float64]) -> tuple[float, Visit, float]: ...
    def likely_visit(self, exits: NDArray[np.float64], begin: int, frame: int) -> Visit: ...
    def trace(
        self,
        exits: NDArray[np.float64],
        begin: int,
        end: int,
        visit: Visit,
        visits: NDArray[np.int32],
        margins: NDArray[np.float64],
    ) -> int: ...
