import numpy as np
from numpy.typing import NDArray

STEP: int

def instruction_sets() -> list[str]: ...
def attend(
    instruction_set: str,
    q: NDArray[np.float32],
    k: NDArray[np.float32],
    v: NDArray[np.float32],
    out: NDArray[np.float32],
    heads: int,
    parts: int,
    first: int,
    end: int,
) -> None: ...
