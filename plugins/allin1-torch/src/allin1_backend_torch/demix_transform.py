"""The short-time Fourier transform of HTDemucs and its inverse, in float32.

Frames of 4 hops with a Hann window, orthonormal; frame t starts at sample ``(t - 1.5) hops`` of the segment, which is
extended by reflection. The inverse assumes silence around the given frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

#: Sum of the squares of four Hann windows, each shifted by a quarter of its length.
ENVELOPE = 1.5


@dataclass(frozen=True, eq=False)
class Transform:
    """Transforms of segments of one length.

    Attributes
    ----------
    samples
        Length of a segment.
    hop
        Distance of frames in samples.
    device
        Device of the tensors.
    """

    samples: int
    hop: int
    device: torch.device

    @property
    def frames(self) -> int:
        """Number of frames of a segment."""
        return -(-self.samples // self.hop)

    @property
    def bins(self) -> int:
        """Number of bins of a frame; the one of the highest frequency is dropped, and assumed to be 0 by the inverse."""
        return 2 * self.hop

    @property
    def margin(self) -> int:
        """Samples before the first that frames reach to."""
        return self.hop // 2 * 3

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(4 * self.hop, dtype=torch.float32, device=self.device)

    @cached_property
    def _quarters(self) -> Tensor:
        return (self._window / ENVELOPE).view(4, self.hop)

    @cached_property
    def pieces_window(self) -> Tensor:
        """What :meth:`pieces` are to be multiplied with: float32 ``[4, hop]``."""
        return self._quarters * self._scale

    @property
    def _scale(self) -> float:
        """What makes a transform orthonormal."""
        return float((4 * self.hop) ** -0.5)

    def forward(self, segments: Tensor) -> Tensor:
        """Transform float32 ``[n, channels, samples]`` to complex64 ``[n, channels, frames, bins]``."""
        spectra: Tensor = torch.fft.rfft(self._framed(segments) * self._window, norm="ortho")
        return spectra[..., : self.bins]

    def every_bin(self, segments: Tensor) -> Tensor:
        """The same with the highest bin, ``[n, channels, frames, bins + 1]``, scaled by the window."""
        spectra: Tensor = torch.fft.rfft(self._framed(segments) * (self._window * self._scale))
        return spectra

    def _framed(self, segments: Tensor) -> Tensor:
        after = self.margin + self.frames * self.hop - self.samples
        padded = functional.pad(segments, (self.margin, after), mode="reflect")
        return padded.unfold(-1, 4 * self.hop, self.hop)

    def inverse(self, spectra: Tensor) -> Tensor:
        """Inverse transform of complex64 ``[n, channels, frames, bins + 1]``, whose highest bin is 0."""
        pieces = torch.fft.irfft(spectra, 4 * self.hop, norm="ortho")
        *shape, frames, _ = pieces.shape
        pieces = pieces.view(*shape, frames, 4, self.hop)
        hops = torch.zeros(*shape, frames + 3, self.hop, dtype=torch.float32, device=spectra.device)
        for quarter in range(4):
            part = hops[..., quarter : quarter + frames, :]
            part.addcmul_(pieces[..., quarter, :], self._quarters[quarter])
        return hops.flatten(-2)[..., self.margin : self.margin + self.samples]

    def pieces(self, spectra: Tensor) -> Tensor:
        """Transform back without scale, window and overlap: float32 ``[n, channels, frames, 4 hop]``."""
        out: Tensor = torch.fft.irfft(spectra, 4 * self.hop, norm="forward")
        return out
