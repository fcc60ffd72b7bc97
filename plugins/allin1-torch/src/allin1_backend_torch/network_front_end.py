"""The front end: three convolutions over frames and bands with an output of 24 channels per instrument.

Rows are ordered by band, then by channel, so that the input of a convolution around one band is a run of consecutive
rows, and all bands are a batch of overlapping views of them. A maximum over three bands commutes with adding a bias and
with ELU, which are monotonic: it is computed first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import elu

from allin1_backend_torch.network_parameters import FrontEnd
from allin1_backend_torch.network_planes import INSTRUMENTS, columns, normalised
from allin1_backend_torch.running import Span


def embed(front: FrontEnd, spectrogram: Tensor, planes: Tensor, span: Span) -> None:
    """Fill some frames of `planes` from the spectrogram.

    Parameters
    ----------
    front
        Parameters of the front end.
    spectrogram
        float32 ``[4, T, 81]``.
    planes
        float32 ``[24, 4T]``; filled with values whose mean over the channels is 0.
    span
        Frames to fill.
    """
    first, end = span
    # The third convolution needs a frame on each side, so the others compute these frames, too.
    bands = _with_neighbours(spectrogram, first - 1, end + 1)
    length = bands.shape[1]
    # 81 bands leave 79 positions, of which the maximum over three leaves 26, and reads 78.
    windows = bands.as_strided((26, 15, length), (9 * length, length, 1))
    x = _maximum_of_three(front.first @ windows, front.first_bias)
    windows = x.as_strided((15, 144, length), (12 * length, length, 1))
    x = _maximum_of_three((front.second @ windows).view(5, 72, length), front.second_bias)

    # Outside the song, the input of the third convolution is zero, not the output of the biases for silence.
    if first == 0:
        x[:, :, :INSTRUMENTS] = 0
    if end == spectrogram.shape[1]:
        x[:, :, -INSTRUMENTS:] = 0
    kept = length - 2 * INSTRUMENTS
    windows = x.as_strided((3, 72, length), (24 * length, length, 1))
    y = front.third[0] @ windows[:, :, :kept]
    y += front.third[1] @ windows[:, :, INSTRUMENTS : INSTRUMENTS + kept]
    y += front.third[2] @ windows[:, :, 2 * INSTRUMENTS :]
    x = _maximum_of_three(y.view(1, 72, kept), front.third_bias)[0]

    x = normalised(x - x.mean(0)).mul_(front.gain).add_(front.bias)
    torch.sub(x, x.mean(0), out=columns(planes, first, end))


def _with_neighbours(spectrogram: Tensor, first: int, end: int) -> Tensor:
    """Each band in the previous, the current and the next frame, as rows ``[243, columns]``.

    Columns are those of the frames from `first` to before `end`; outside the song all is zero.
    """
    instruments, frames, bands = spectrogram.shape
    low, high = max(first - 1, 0), min(end + 1, frames)
    padded = spectrogram.new_zeros(bands, end - first + 2, instruments)
    padded[:, low - first + 1 : high - first + 1] = spectrogram[:, low:high].permute(2, 1, 0)
    rows = padded.new_empty(bands, 3, end - first, instruments)
    for shift in range(3):
        rows[:, shift] = padded[:, shift : shift + end - first]
    return rows.view(3 * bands, -1)


def _maximum_of_three(products: Tensor, bias: Tensor) -> Tensor:
    """Maximum over three neighbouring bands, bias, ELU: ``[n, 3 * c, columns]`` to ``[n, c, columns]``."""
    groups, rows, length = products.shape
    pooled = products.view(groups, 3, rows // 3, length).amax(1)
    return elu(pooled.add_(bias), inplace=True)
