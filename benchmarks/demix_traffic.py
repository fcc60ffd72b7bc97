"""What the separation reads and writes on CUDA in half precision, with PyTorch's operations and with Triton kernels.

Bytes are counted from the shapes of ``htdemucs``, every operation by itself: what it reads once, and what it writes.
What stays in a cache between two operations is less, what does not fit one between two readings of the same is more.
Products, convolutions and Fourier transforms are listed with what they move, which is the same on both sides; they also
compute.

    python benchmarks/demix_traffic.py --segments 31 --bandwidth 4.8

Of 180 s, 31 segments, at the 4.8 TB/s of an H200:

| part | PyTorch GB | ms | kernels GB | ms | saved ms |
|---|---|---|---|---|---|
| residual layers | 88.8 | 18.5 | 19.4 | 4.0 | 14.4 |
| last layers to waves | 22.5 | 4.7 | 4.8 | 1.0 | 3.7 |
| bias, gate and embedding of gated ones | 15.4 | 3.2 | 8.6 | 1.8 | 1.4 |
| sum and GELU of transposed convolutions | 9.4 | 2.0 | 5.4 | 1.1 | 0.8 |
| sum with the skip | 4.3 | 0.9 | 0.3 | 0.1 | 0.8 |
| bias and GELU of strided convolutions | 5.8 | 1.2 | 2.9 | 0.6 | 0.6 |
| scale, level and order of the transform | 3.6 | 0.7 | 0.9 | 0.2 | 0.6 |
| transformer's norms, sums and GELU | 14.6 | 3.0 | 12.7 | 2.6 | 0.4 |
| inverse transform, with a copy of its input | 5.5 | 1.1 | 5.5 | 1.1 | 0.0 |
| strided convolutions | 3.0 | 0.6 | 3.0 | 0.6 | 0.0 |
| gated products and convolutions | 8.6 | 1.8 | 8.6 | 1.8 | 0.0 |
| products of transposed convolutions | 5.8 | 1.2 | 5.8 | 1.2 | 0.0 |
| transform | 1.1 | 0.2 | 1.1 | 0.2 | 0.0 |
| transformer's products and attention | 12.8 | 2.7 | 12.8 | 2.7 | 0.0 |
| all | 201.2 | 41.9 | 91.8 | 19.1 | 22.8 |

Residual layers and the last layers are four fifths of what can be saved; in the transformer there is little. On an H200
the network took 112 ms with PyTorch's operations, products included: 2.7 times what the memory alone allows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

HALF, SINGLE = 2, 4

#: Of htdemucs: a segment's samples, hop, frames, channels by level, bins of the transform, its layers and their width.
SAMPLES, HOP, CHANNELS, BINS = 343_980, 1024, (48, 96, 192, 384), 2048
FRAMES = -(-SAMPLES // HOP)
SOURCES, LAYERS, WIDTH, HIDDEN = 4, 5, 512, 1 / 8


@dataclass(frozen=True)
class Row:
    """Bytes of a segment that a part moves: by PyTorch's operations, and by kernels."""

    part: str
    plain: float
    fused: float


def levels() -> Iterator[tuple[str, int, float]]:
    """Branch, level, and bytes of a segment's activations behind the encoder of that level."""
    length = SAMPLES
    for level, channels in enumerate(CHANNELS):
        yield "frequency", level, BINS // 4 ** (level + 1) * FRAMES * channels * HALF
        length = -(-length // 4)
        yield "time", level, length * channels * HALF


def rows() -> Iterator[Row]:
    """Count every part."""
    for branch, level, s in levels():
        is_last, of_bins = level == 0, branch == "frequency"
        into = (2 if level else (1 / 3 if of_bins else 1 / 6)) * s
        taps = (4 if level else (8 / 3 if of_bins else 4 / 3)) * s
        yield Row("strided convolutions", into + s, into + s)
        yield Row("bias and GELU of strided convolutions", 4 * s, 2 * s)
        # Convolution, bias, norm, GELU, product, norm, gate, sum; twice in the encoder, twice in the decoder.
        norms = (2 * HIDDEN + 4) if of_bins else (4 * HIDDEN + 8)
        plain = (1 + HIDDEN) + 2 * HIDDEN + 2 * HIDDEN + (HIDDEN + 2) + norms + 3 + 3
        yield Row("residual layers", 4 * plain * s, 4 * (3 + 3 * HIDDEN) * s)
        yield Row("gated products and convolutions", 6 * s, 6 * s)
        embedding = 2 * s if is_last and of_bins else 0
        yield Row("bias, gate and embedding of gated ones", 3 * s + embedding + 7 * s, 6 * s)
        yield Row("sum with the skip", 3 * s, 3 * s if level == len(CHANNELS) - 1 else 0)
        yield Row("products of transposed convolutions", s + taps, s + taps)
        if not is_last:
            yield Row("sum and GELU of transposed convolutions", 3.5 * taps, 2 * taps)
    pairs = 2 * SOURCES
    pieces, spectra = pairs * FRAMES * 4 * HOP * SINGLE, pairs * FRAMES * (BINS + 1) * 2 * SINGLE
    of_bins, of_time = BINS * FRAMES * 2 * pairs * HALF, SAMPLES * pairs * HALF
    # Sum of taps, to float32, level, order; overlap of frames; the time branch to float32, level, sum.
    plain = 5 * of_bins + 3 * of_bins + 4 * of_bins + 2 * of_bins + 2 * spectra
    plain += 2 * pieces + 3.25 * pieces + 5 * of_time + 13 * of_time
    yield Row("last layers to waves", plain, 2 * of_bins + spectra + pieces + 4 * of_time)
    yield Row(
        "inverse transform, with a copy of its input", 2 * spectra + spectra + pieces, 4 * pieces
    )
    framed, waves = 2 * FRAMES * 4 * HOP * SINGLE, 2 * SAMPLES * SINGLE
    yield Row("transform", waves + 3 * framed, waves + 3 * framed)
    yield Row(
        "scale, level and order of the transform", (2 + 1 + 2 + 2 + 2 + 1.5) * framed, 2.5 * framed
    )
    tokens = (BINS // 256 * FRAMES + -(-SAMPLES // 256)) * WIDTH * HALF
    products = LAYERS * (1 + 3 + 4 + 1 + 1 + 1 + 4 + 4 + 1) * tokens
    yield Row("transformer's products and attention", products, products)
    yield Row("transformer's norms, sums and GELU", LAYERS * 22.8 * tokens, LAYERS * 19.8 * tokens)


def table(segments: int, bandwidth: float) -> str:
    """All parts, the same ones joined, those that save most first."""
    parts: dict[str, list[float]] = {}
    for row in rows():
        total = parts.setdefault(row.part, [0.0, 0.0])
        total[0] += row.plain * segments / 1e9
        total[1] += row.fused * segments / 1e9
    order = sorted(parts.items(), key=lambda each: each[1][1] - each[1][0])
    order.append(("all", [sum(each[i] for each in parts.values()) for i in (0, 1)]))
    lines = [
        "| part | PyTorch GB | ms | kernels GB | ms | saved ms |",
        "|---|---|---|---|---|---|",
    ]
    for part, (plain, fused) in order:
        before, after = plain / bandwidth, fused / bandwidth
        numbers = f"{plain:.1f} | {before:.1f} | {fused:.1f} | {after:.1f} | {before - after:.1f}"
        lines.append(f"| {part} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=31, help="31 are 180 s")
    parser.add_argument("--bandwidth", type=float, default=4.8, help="of the memory, in TB/s")
    arguments = parser.parse_args()
    print(table(arguments.segments, arguments.bandwidth))


if __name__ == "__main__":
    main()
