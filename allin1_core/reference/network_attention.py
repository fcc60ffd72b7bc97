"""Neighbourhood attention: each query attends to a window of five keys along time.

The window is centred on its query and, near the ends of the song, shifted rather than padded (as in NATTEN 0.17). With
a dilation d, its keys are d frames apart. In a song of T ≥ 5·d frames,

==================  =============================================
queries t           keys at
==================  =============================================
0 … d               t, t+d, t+2d, t+3d, t+4d
d … 2d              t−d, …, t+3d
2d … T−2d           t−2d, …, t+2d
T−2d … T−d          t−3d, …, t+d
T−d … T             t−4d, …, t
==================  =============================================

and in each of the five ranges, the keys of consecutive queries are consecutive as well: a shifted slice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from allin1_core.reference.network_parameters import HEADS, WINDOW, Floats

_REACH = WINDOW // 2


def attend_in_time(
    query: Floats, keys: Floats, values: Floats, bias: Floats, dilation: int, start: int
) -> Floats:
    """Attend along the frames of each instrument.

    Parameters
    ----------
    query
        ``[4, 24, n]``, scaled, for the frames from `start` on.
    keys, values
        ``[4, 24, T]`` with T ≥ 5·dilation.
    bias
        ``[heads, 9]``, by steps from query to key, −4 to 4.
    dilation
        Frames between two keys of a window.
    start
        Frame of the first query.

    Returns
    -------
    ``[4, 24, n]``.
    """
    result = np.empty_like(query)
    q, k, v, out = (_split_heads(x) for x in (query, keys, values, result))
    frames = range(start, start + query.shape[-1])
    for first, last, shift in _ranges(frames, keys.shape[-1], dilation):
        part = slice(first - start, last - start)
        steps = range(shift, shift + WINDOW)
        slices = [slice(first + step * dilation, last + step * dilation) for step in steps]
        scores = np.empty((WINDOW, *q.shape[:2], last - first), query.dtype)
        for score, step, keys_of_step in zip(scores, steps, slices, strict=True):
            np.einsum("ihct,ihct->iht", q[..., part], k[..., keys_of_step], out=score)
            score += bias[:, step + WINDOW - 1, None]
        weights = _softmax(scores)
        mean = weights[0, :, :, None] * v[..., slices[0]]
        for weight, values_of_step in zip(weights[1:], slices[1:], strict=True):
            mean += weight[:, :, None] * v[..., values_of_step]
        out[..., part] = mean
    return result


def attend_across_instruments(
    query: Floats, keys: Floats, values: Floats, bias: Floats, start: int
) -> Floats:
    """Attend to all instruments in a window of five frames.

    Parameters
    ----------
    query
        ``[4, 24, n]``, scaled, for the frames from `start` on.
    keys, values
        ``[5, 24, T]`` with T ≥ 5. The window of five has room for one instrument more than there are, and
        is never shifted along that axis.
    bias
        ``[heads, 9, 9]``, by instruments and by frames from query to key, each −4 to 4.
    start
        Frame of the first query.

    Returns
    -------
    ``[4, 24, n]``.
    """
    result = np.empty_like(query)
    q, k, v, out = (_split_heads(x) for x in (query, keys, values, result))
    frames = range(start, start + query.shape[-1])
    # From query instrument i to key instrument j there are j − i steps: [heads, i, j].
    steps_between = np.arange(len(k)) - np.arange(len(q))[:, None] + WINDOW - 1
    for first, last, shift in _ranges(frames, keys.shape[-1], 1):
        part = slice(first - start, last - start)
        steps = range(shift, shift + WINDOW)
        slices = [slice(first + step, last + step) for step in steps]
        scores = np.empty((WINDOW, len(k), *q.shape[:2], last - first), query.dtype)
        for score, step, keys_of_step in zip(scores, steps, slices, strict=True):
            np.einsum("ihct,jhct->jiht", q[..., part], k[..., keys_of_step], out=score)
            score += bias[:, steps_between, step + WINDOW - 1].transpose(2, 1, 0)[..., None]
        weights = _softmax(scores.reshape(-1, *scores.shape[2:])).reshape(scores.shape)
        mean = np.zeros((*q.shape[:3], last - first), query.dtype)
        for weight, values_of_step in zip(weights, slices, strict=True):
            for weight_of_key, value in zip(weight, v[..., values_of_step], strict=True):
                mean += weight_of_key[:, :, None] * value
        out[..., part] = mean
    return result


def _ranges(frames: range, length: int, dilation: int) -> Iterator[tuple[int, int, int]]:
    """Split `frames` where the shift of the window changes: first and last frame, steps to the first key."""
    reach = _REACH * dilation
    bounds = (0, dilation, reach, length - reach, length - dilation, length)
    for i in range(WINDOW):
        first, last = max(bounds[i], frames.start), min(bounds[i + 1], frames.stop)
        if first < last:
            yield first, last, -i


def _split_heads(x: Floats) -> Floats:
    """``[…, 24, T]`` to ``[…, heads, 12, T]``."""
    return x.reshape(*x.shape[:-2], HEADS, -1, x.shape[-1])


def _softmax(scores: Floats) -> Floats:
    """Weights along the first axis that sum to 1; overwrites `scores`."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
