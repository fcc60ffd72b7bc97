"""The network's front end: three convolutions that convert 81 bands into one vector of 24 values per frame."""

from __future__ import annotations

import numpy as np

from allin1_core.reference.network_layers import normalise, product
from allin1_core.reference.network_parameters import Convolution, Floats, Network


def embed(network: Network, spectrogram: Floats, start: int, stop: int) -> Floats:
    """Embed the frames from `start` to `stop`.

    Parameters
    ----------
    network
        Its convolutions and the LayerNorm after them are used.
    spectrogram
        ``[4, T, 81]``.
    start, stop
        Range of frames.

    Returns
    -------
    ``[4, 24, stop - start]``, in the floating-point type of the network.
    """
    # One instrument after another, because a convolution's patches are large.
    vectors = [_convolve_all(network.convolutions, each, start, stop) for each in spectrogram]
    return normalise(network.front_norm, np.stack(vectors))


def _convolve_all(
    convolutions: tuple[Convolution, ...], spectrogram: Floats, start: int, stop: int
) -> Floats:
    """Frames `start` to `stop` of one instrument's ``[T, 81]``, as ``[24, stop - start]``."""
    first, second, third = convolutions
    # The first and the third convolution each look one frame to either side.
    x = _frames(spectrogram, start - 2, stop + 2).T.astype(first.kernel.dtype)
    x = _elu(_pool(_convolve(first, x[None])))
    x = _elu(_pool(_convolve(second, x)))
    # Outside the song, the third one sees zeros, not what the others computed from zeros.
    if start == 0:
        x[..., 0] = 0
    if stop == len(spectrogram):
        x[..., -1] = 0
    x = _elu(_pool(_convolve(third, x)))
    return x[:, 0]


def _frames(spectrogram: Floats, start: int, stop: int) -> Floats:
    """Frames `start` to `stop`, with zeros outside the song."""
    last = len(spectrogram)
    inside = spectrogram[max(start, 0) : min(stop, last)]
    return np.pad(inside, ((max(-start, 0), max(stop - last, 0)), (0, 0)))


def _convolve(convolution: Convolution, x: Floats) -> Floats:
    """Convolve ``[in, bands, frames]`` without padding, as a product with its unrolled patches."""
    outputs, frames, bands, inputs = convolution.kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (bands, frames), axis=(1, 2))
    size = windows.shape[1:3]
    patches = windows.transpose(4, 3, 0, 1, 2).reshape(frames * bands * inputs, -1)
    y = product(convolution.kernel.reshape(outputs, -1), patches)
    y += convolution.bias
    return y.reshape(outputs, *size)


def _pool(x: Floats) -> Floats:
    """Maximum of every three bands; one or two remaining bands at the top are dropped."""
    bands = x.shape[1] // 3
    pooled: Floats = x[:, : 3 * bands].reshape(len(x), bands, 3, -1).max(axis=2)
    return pooled


def _elu(x: Floats) -> Floats:
    """``x`` above 0, ``exp(x) − 1`` below."""
    y: Floats = np.expm1(np.minimum(x, 0))
    y += np.maximum(x, 0)
    return y
