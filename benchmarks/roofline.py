"""Operations and memory traffic of the network, and the speed of a plain product and a copy on this machine.

The operations are computed from shapes: 2.99 MFLOP per frame and member of the ensemble, where a multiplication and an
addition count as two. Only products count; normalisation, softmax and the activation functions are left out.

The bytes are the minimum for a network that runs layer by layer in float32: the spectrogram is read once, every layer
reads and writes the hidden state, and the logits are written. Implementations that keep data in a cache between layers
move less, those that keep queries, keys and scores in memory move more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

INSTRUMENTS, CHANNELS, BANDS, LAYERS, OUTPUTS = 4, 24, 81, 11, 13
_FLOAT_BYTES = 4


def _product(inputs: int, outputs: int, rows: int = 1) -> int:
    return 2 * rows * inputs * outputs


def _attention(keys: int) -> int:
    """Scores and weighted sums of one query, all heads: the channels divide among them."""
    return 2 * _product(CHANNELS, keys)


def flop_per_frame() -> int:
    """Floating-point operations of one member for one frame.

    >>> flop_per_frame()
    2988000
    """
    # Convolutions of 3x3, 1x12 and 3x3 at 79, 15 and 3 frequencies, with pooling by 3 between them.
    half = CHANNELS // 2
    front = (
        _product(9, half, 79)
        + _product(12 * half, CHANNELS, 15)
        + _product(9 * CHANNELS, CHANNELS, 3)
    )
    # Two attentions to 5 frames each: query, key, value and output; then 48 to 192 to 24 channels.
    in_time = (
        2 * (_product(CHANNELS, 4 * CHANNELS) + _attention(5))
        + _product(2 * CHANNELS, 8 * CHANNELS)
        + _product(8 * CHANNELS, CHANNELS)
    )
    # One attention to 5 frames of 5 instruments, the fifth being padding; then 24 to 96 to 24.
    across = (
        _product(CHANNELS, 4 * CHANNELS)
        + _attention(25)
        + _product(CHANNELS, 4 * CHANNELS)
        + _product(4 * CHANNELS, CHANNELS)
    )
    heads = _product(INSTRUMENTS * CHANNELS, OUTPUTS)
    return INSTRUMENTS * (front + LAYERS * (in_time + across)) + heads


def bytes_per_frame() -> int:
    """Bytes that one member moves for one frame.

    >>> bytes_per_frame()
    19012
    """
    state = INSTRUMENTS * CHANNELS
    values = INSTRUMENTS * BANDS + state + 2 * LAYERS * 2 * state + state + OUTPUTS
    return _FLOAT_BYTES * values


@dataclass(frozen=True)
class Ceilings:
    """Maximum speed of the machine in float32.

    Attributes
    ----------
    gflop_per_s
        Speed of a product of two large square matrices.
    gbyte_per_s
        Speed of a copy of a large array, counting bytes read and written.
    """

    gflop_per_s: float
    gbyte_per_s: float

    def floor_s(self, flop: float, moved: float) -> float:
        """Minimum time in seconds for a number of operations and bytes."""
        return max(flop / self.gflop_per_s, moved / self.gbyte_per_s) / 1e9

    def or_better(self, other: Ceilings) -> Ceilings:
        """The maximum of each, as noise can only lower them."""
        return Ceilings(
            max(self.gflop_per_s, other.gflop_per_s), max(self.gbyte_per_s, other.gbyte_per_s)
        )


def measure_ceilings(device: str, repeats: int = 5) -> Ceilings:
    """Measure both on `device`, with PyTorch if it is installed, otherwise with NumPy."""
    size, count = (8192, 1 << 28) if device != "cpu" else (2048, 1 << 26)
    multiply, copy = _calls(device, size, count)
    return Ceilings(
        2 * size**3 / _best_s(multiply, repeats) / 1e9,
        2 * _FLOAT_BYTES * count / _best_s(copy, repeats) / 1e9,
    )


def _calls(device: str, size: int, count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    try:
        import torch
    except ImportError:
        rng = np.random.default_rng(0)
        one, other = rng.standard_normal((2, size, size), np.float32)
        product, values = np.empty_like(one), np.ones(count, np.float32)
        written = np.zeros_like(values)
        return (
            lambda: np.matmul(one, other, out=product),
            lambda: np.copyto(written, values),
        )
    generator = torch.Generator(device).manual_seed(0)
    a, b = torch.randn(2, size, size, device=device, generator=generator)
    c, source = torch.empty_like(a), torch.randn(count, device=device, generator=generator)
    target = torch.zeros_like(source)

    def done() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def multiply() -> None:
        torch.matmul(a, b, out=c)
        done()

    def copy() -> None:
        target.copy_(source)
        done()

    return multiply, copy


def _best_s(call: Callable[[], object], repeats: int) -> float:
    call()
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
