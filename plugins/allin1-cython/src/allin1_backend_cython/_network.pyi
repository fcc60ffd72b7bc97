import numpy as np
from numpy.typing import NDArray

PASSES: int
NETWORK_SIZE: int
SCRATCH_SIZE: int
LINE: int

def kernels() -> list[str]: ...
def aligned_zeros(size: int) -> NDArray[np.float32]: ...

class Song:
    def __init__(
        self,
        spectrogram: NDArray[np.float32],
        members: int,
        embeddings: bool,
        instruction_set: str,
    ) -> None: ...
    @property
    def logits(self) -> NDArray[np.float32]: ...
    @property
    def embeddings(self) -> NDArray[np.float32] | None: ...
    def begin(self, member: int) -> None: ...
    def begin_pass(self) -> None: ...
    def run(
        self, network: NDArray[np.float32], number: int, scratch: NDArray[np.float32]
    ) -> None: ...
