"""The error of a precision relative to float32, for the installed models and a given song.

The error of half precision depends on the weights, so it must be measured with the trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from allin1_core.contracts.audio import STEMS
from torch import Tensor

from allin1_backend_torch.demix_precision import Precision


def signal_to_error_db(wanted: Tensor, actual: Tensor) -> dict[str, float]:
    """Level of each stem relative to the level of its error, in decibels; infinite if there is no error.

    Parameters
    ----------
    wanted, actual
        ``[4, channels, n]``.
    """
    wanted, actual = wanted.double(), actual.double()
    signal = wanted.square().sum((1, 2))
    error = (actual - wanted).square().sum((1, 2))
    levels = torch.where(error > 0, 10 * torch.log10(signal / error), torch.inf)
    return dict(zip(STEMS, levels.tolist(), strict=True))


def measure_precisions(
    separate: Callable[[Precision], Tensor], precisions: Sequence[Precision]
) -> dict[Precision, dict[str, float]]:
    """Separate a song in float32 and in each of `precisions`, and compare.

    Parameters
    ----------
    separate
        Function that returns the stems of the song in a precision, ``[4, channels, n]``.
    precisions
        Precisions to compare with float32.

    Returns
    -------
    dict
        For each precision, :func:`signal_to_error_db` of each stem; minus infinity if it overflowed.
    """
    exact = separate("float32")
    levels: dict[Precision, dict[str, float]] = {}
    for precision in precisions:
        attempt = separate(precision)
        if bool(torch.isfinite(attempt).all()):
            levels[precision] = signal_to_error_db(exact, attempt)
        else:
            levels[precision] = dict.fromkeys(STEMS, float("-inf"))
    return levels
