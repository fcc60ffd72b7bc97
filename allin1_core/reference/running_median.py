"""The median of every window of 31 frames, computed with minima and maxima of whole arrays.

Published for plugins: it accepts arrays of any library. The two halves of a window, of 16 values each with the middle
one in common, are sorted by Batcher's networks (Knuth, The Art of Computer Programming, vol. 3, section 5.3.4); sorted
runs of 1, 2, 4 and 8 values are shared by all windows that contain them. This takes 141 operations whatever the values
are, each on as many frames as the caller passes at once. The result is one of the values of the window, so it does not
depend on the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.arrays import Array
from allin1_core.contracts.spectrogram import MEDIAN_REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray


def running_median(
    frames: Array,
    minimum: Callable[[Array, Array], Array],
    maximum: Callable[[Array, Array], Array],
    where: Callable[[Array, Array, Array], Array],
) -> Array:
    """Median of each frame with the 15 before and the 15 after it.

    Parameters
    ----------
    frames
        ``[T + 30, ...]``; the first and the last 15 only serve as neighbours. It is not modified.
    minimum, maximum, where
        The library's functions of these names, element by element.

    Returns
    -------
    array
        ``[T, ...]``.

    >>> frames = np.arange(33.0)
    >>> running_median(frames, np.minimum, np.maximum, np.where).tolist()
    [15.0, 16.0, 17.0]
    """

    def compare(one: Array, other: Array) -> list[Array]:
        return [minimum(one, other), maximum(one, other)]

    def merge(one: list[Array], other: list[Array]) -> list[Array]:
        """Merge two sorted lists of the same length, a power of two."""
        if len(one) == 1:
            return compare(one[0], other[0])
        even, odd = merge(one[::2], other[::2]), merge(one[1::2], other[1::2])
        between = [compare(a, b) for a, b in zip(odd, even[1:], strict=False)]
        return [even[0], *(value for pair in between for value in pair), odd[-1]]

    reach = MEDIAN_REACH
    ordered = [frames]
    while len(ordered) <= reach:
        step = len(ordered)
        ordered = merge([each[:-step] for each in ordered], [each[step:] for each in ordered])
    # Of the 32 values of both halves, which contain the middle one twice: the largest of the lower 16, and the smallest
    # of the upper 16. One of them is the median, once the middle value is removed from the half that contains it.
    low, high = compare(ordered[0][:-reach], ordered[-1][reach:])
    for one, other in zip(ordered[1:], ordered[-2::-1], strict=True):
        lower, upper = compare(one[:-reach], other[reach:])
        low, high = maximum(low, lower), minimum(high, upper)
    return where(frames[reach:-reach] > low, low, high)


def neighbours(first: int, stop: int, total: int) -> NDArray[np.int64]:
    """Return the frames that the windows of frames `first` up to, but not including, `stop` contain.

    Beyond its ends, a signal of `total` frames is mirrored, repeating the frame at the end.

    Returns
    -------
    ndarray
        int64 ``[stop - first + 30]``, 0 to ``total - 1``.

    >>> neighbours(0, 2, 100)[12:19].tolist()
    [2, 1, 0, 0, 1, 2, 3]
    """
    frames = np.arange(first - MEDIAN_REACH, stop + MEDIAN_REACH) % (2 * total)
    return np.minimum(frames, 2 * total - 1 - frames)
