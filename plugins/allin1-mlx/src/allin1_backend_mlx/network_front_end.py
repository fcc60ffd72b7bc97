"""The front end: three convolutions over frames and bands with an output of 24 channels per instrument.

The input of a convolution around one band is a run of columns, so each convolution is a product, and all three positions
of the maximum that follows are columns of its result. A maximum commutes with adding a bias and with ELU, which
are monotonic: it is computed first.
"""

from __future__ import annotations

import mlx.core as mx

from allin1_backend_mlx.network_layers import elu, normalised
from allin1_backend_mlx.network_parameters import CHANNELS, INSTRUMENTS, Arrays

#: Number of input frames needed on either side of the output frames.
MARGIN = 2


def embed(spectrogram: mx.array, first: mx.array, length: mx.array, p: Arrays) -> mx.array:
    """Convert a section of the spectrogram to the input of the first block.

    Parameters
    ----------
    spectrogram
        float32 ``[n + 4, 4, 81]``: n frames and two on either side, zeros outside the song.
    first
        Index of the first of the n frames.
    length
        Number of frames of the song.
    p
        Parameters, from :attr:`~allin1_backend_mlx.network_parameters.Network.front_end`.

    Returns
    -------
    array
        ``[members, n, 4, 24]``.
    """
    members = p["first"].shape[0]
    wide = spectrogram.shape[0] - 2  # the third convolution looks a frame to each side
    bands = mx.stack([spectrogram[shift : shift + wide] for shift in range(3)], axis=-1)
    bands = bands.reshape(wide * INSTRUMENTS, 243)
    # 81 bands leave 79 positions, of which the maximum over three leaves 26, each from 5 bands of 3 frames.
    nines = (wide * INSTRUMENTS, 26, 9)
    windows = mx.concatenate(
        [bands[:, :234].reshape(nines), bands[:, 9:].reshape(nines)[:, :, :6]], axis=-1
    )
    x = windows.reshape(1, -1, 15) @ p["first"]
    x = _maximum_of_three(x, p["first_bias"]).reshape(members, wide * INSTRUMENTS, 312)
    x = mx.concatenate(
        [
            _maximum_of_three(x[:, :, 36 * i : 36 * i + 168] @ p["second"], p["second_bias"])
            for i in range(5)
        ],
        axis=-1,
    ).reshape(members, wide, INSTRUMENTS, 120)
    # Outside the song, the input of the third convolution is zero, not the output of the biases for silence.
    frame = first - 1 + mx.arange(wide)
    x = mx.where(((frame >= 0) & (frame < length))[:, None, None], x, 0.0)
    kept = wide - 2
    before, same, after = (
        x[:, shift : shift + kept].reshape(members, -1, 120) @ p["third"][:, shift]
        for shift in range(3)
    )
    x = _maximum_of_three(before + same + after, p["third_bias"])
    x = normalised(x) * p["gain"] + p["bias"]
    return x.reshape(members, kept, INSTRUMENTS, CHANNELS)


def _maximum_of_three(products: mx.array, bias: mx.array) -> mx.array:
    """Maximum over three neighbouring bands, bias, ELU: ``[..., 3 * c]`` to ``[..., c]``."""
    one, two, three = mx.split(products, 3, axis=-1)
    return elu(mx.maximum(mx.maximum(one, two), three) + bias)
