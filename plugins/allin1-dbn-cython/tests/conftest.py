"""madmom, if it is installed; otherwise the tests that need it are skipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters
from allin1_core.testing.madmom import MadmomDecoder, madmom_decoder

pytest_plugins = ["allin1_core.testing.golden"]


@pytest.fixture(scope="session")
def madmom() -> MadmomDecoder:
    """Decode with madmom's own ``DBNDownBeatTrackingProcessor``: float64 ``[N, 2]``, times and positions."""
    decode_or_none = madmom_decoder()

    def decode(
        values: NDArray[Any], parameters: MetreParameters, frames_per_second: float
    ) -> NDArray[np.float64]:
        beats = decode_or_none(values, parameters, frames_per_second)
        return np.empty((0, 2)) if beats is None else beats

    return decode
