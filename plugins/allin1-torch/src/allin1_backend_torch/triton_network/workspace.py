"""Memory for a song while the network runs: 11.5 kB per frame and member, or half of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from allin1_backend_torch.network_parameters import CHANNELS
from allin1_backend_torch.network_planes import INSTRUMENTS

#: Channels of a frame after the first and the second convolution: 26 bands of 12, 5 bands of 24.
FIRST_CHANNELS, SECOND_CHANNELS = 26 * 12, 5 * 24

#: Bytes per frame and member.
BYTES = INSTRUMENTS * (4 * (FIRST_CHANNELS + SECOND_CHANNELS) + 4 * CHANNELS * (1 + 2 + 6 + 3))


@dataclass(frozen=True, eq=False)
class Workspace:
    """Arrays on the device; `g` is the index of an instrument of a member, grouped by member.

    Attributes
    ----------
    frames
        Number of frames of the song, T.
    members
        Number of members.
    first, second
        float16 ``[2, g, T, 312]`` and ``[2, g, T, 120]``: outputs of the convolutions, in high and low halves; or
        ``[1, …]`` without the low ones.
    x
        float32 ``[g, T, 24]``: the residual stream.
    time_planes
        float32, or float16, ``[6, g, T + 1, 24]``: queries, keys, values of the time layer at its first dilation, then
        at its second. The last row contains those of padding.
    contexts
        Same type, ``[2, g, T, 24]``: outputs of its attentions.
    instrument_planes
        Same type, ``[3, g, T + 1, 24]``:  queries, keys, values of the instrument layer.
    """

    frames: int
    members: int
    first: Tensor
    second: Tensor
    x: Tensor
    time_planes: Tensor
    contexts: Tensor
    instrument_planes: Tensor

    @property
    def rows(self) -> int:
        """Number of instruments of all members."""
        return INSTRUMENTS * self.members


def workspace(frames: int, members: int, exact: bool, device: torch.device) -> Workspace:
    """Allocate uninitialised memory."""
    rows = INSTRUMENTS * members
    precision = torch.float32 if exact else torch.float16

    def floats(*shape: int, dtype: torch.dtype = precision) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    def two_halves(channels: int) -> Tensor:
        return floats(2 if exact else 1, rows, frames, channels, dtype=torch.float16)

    return Workspace(
        frames=frames,
        members=members,
        first=two_halves(FIRST_CHANNELS),
        second=two_halves(SECOND_CHANNELS),
        x=floats(rows, frames, CHANNELS, dtype=torch.float32),
        time_planes=floats(6, rows, frames + 1, CHANNELS),
        contexts=floats(2, rows, frames, CHANNELS),
        instrument_planes=floats(3, rows, frames + 1, CHANNELS),
    )
