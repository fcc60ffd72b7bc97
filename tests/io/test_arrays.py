"""Files of arrays that disagree with their headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allin1_core.io.arrays import ArrayError, read_array


@pytest.mark.parametrize(
    ("size", "words"), [(2**40, "longer than its header"), (140, "shorter than its header")]
)
def test_a_file_of_another_size_than_its_header_states_is_refused_before_it_is_read(
    tmp_path: Path, size: int, words: str
) -> None:
    path = tmp_path / "song.embed.npy"
    np.save(path, np.zeros(1000, np.float32))
    with path.open("r+b") as file:
        file.truncate(size)  # the larger one is sparse, and does not fit into memory
    with pytest.raises(ArrayError, match=words):
        read_array(path)
