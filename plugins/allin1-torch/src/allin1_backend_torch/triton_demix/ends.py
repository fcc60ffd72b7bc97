"""The two ends of the network: spectra become channels; the last layers' taps become spectra, frames and taps waves."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.triton_demix.lengthening import taps_of
from allin1_backend_torch.triton_demix.sharing import power_of_two
from allin1_backend_torch.triton_launching import Launch

#: Bins and frames that a program brings to channels, bins that it brings to spectra, samples that it joins.
BINS, FRAMES, SPECTRUM_BINS, SAMPLES = 64, 16, 128, 128


def launch_channels(spectra: Tensor, mean: Tensor, factor: Tensor, out: Tensor) -> Launch:
    """Normalise spectra and lay them out with channels last.

    Parameters
    ----------
    spectra
        float32 ``[n, 2, frames, bins + 1, 2]``, contiguous: real and imaginary part last.
    mean, factor
        float32 ``[n]``: what is subtracted, and multiplied with.
    out
        ``[n, bins, frames, 4]``, contiguous.
    """
    count, bins, frames, _ = out.shape
    grid = (triton.cdiv(bins, BINS), triton.cdiv(frames, FRAMES), count)
    options = {"BINS": BINS, "TILE": FRAMES, "num_warps": 4}
    return Launch(_channels, grid, (spectra, mean, factor, out, bins, frames), options)


def launch_spectra(
    taps: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor, out: Tensor
) -> Launch:
    """Sum the taps of the last layer of the frequency branch, and lay out spectra.

    Parameters
    ----------
    taps
        ``[n, bins, frames, 8 · 2 · pairs]``, contiguous.
    bias
        ``[2 pairs]`` or more.
    mean, deviation
        float32 ``[n]``: what is added, and multiplied with before.
    out
        float32 ``[n, pairs, frames, 4 bins + 1, 2]``, contiguous: real and imaginary part last; the highest bin is 0.
    """
    count, bins, frames, _ = taps.shape
    pairs = out.shape[1]
    options = {
        "PAIRS": pairs, "COLUMNS": power_of_two(1, 2 * pairs), "BINS": SPECTRUM_BINS,
        "num_warps": 4,
    }  # fmt: skip
    grid = (triton.cdiv(4 * bins + 1, SPECTRUM_BINS), frames, count)
    return Launch(_spectra, grid, (taps, bias, mean, deviation, out, bins, frames), options)


def launch_waves(
    frames: Tensor, window: Tensor, taps: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor,
    out: Tensor, margin: int,
) -> Launch:  # fmt: skip
    """Overlap frames, sum the taps of the last layer of the time branch, and add the two.

    Parameters
    ----------
    frames
        float32 ``[n, pairs, frames, 4 hop]``, contiguous.
    window
        float32 ``[4, hop]``: what they are multiplied with.
    taps
        ``[n, 1, length, 8 pairs]``, contiguous.
    bias
        ``[pairs]`` or more.
    mean, deviation
        float32 ``[n]``, for the taps: what is added, and multiplied with before.
    out
        float32 ``[n, pairs, samples]``, contiguous.
    margin
        Samples that are cut off before the first.
    """
    count, pairs, number, _ = frames.shape
    samples = out.shape[-1]
    options = {
        "PAIRS": pairs, "ROWS": power_of_two(1, pairs), "HOP": window.shape[1], "BLOCK": SAMPLES,
        "num_warps": 4,
    }  # fmt: skip
    arguments = (frames, window, taps, bias, mean, deviation, out)
    return Launch(
        _waves,
        (triton.cdiv(samples, SAMPLES), count),
        (*arguments, number, taps.shape[2], samples, margin),
        options,
    )


@triton.jit(do_not_specialize=["bins", "frames"])
def _channels(spectra, mean, factor, out, bins, frames, BINS: tl.constexpr, TILE: tl.constexpr):
    number = tl.program_id(2)
    spectra += number.to(tl.int64) * frames * (bins + 1) * 4
    out += number.to(tl.int64) * frames * bins * 4
    bin_ = tl.program_id(0) * BINS + tl.arange(0, BINS)
    column = tl.arange(0, 4 * TILE)
    frame, part, channel = tl.program_id(1) * TILE + column // 4, column % 2, column // 2 % 2
    kept = (bin_ < bins)[:, None] & (frame < frames)[None, :]
    rows = (channel * frames + frame) * (bins + 1)
    values = tl.load(
        spectra + (rows[None, :] + bin_[:, None]) * 2 + part[None, :], mask=kept, other=0.0
    )
    values = (values - tl.load(mean + number)) * tl.load(factor + number)
    places = out + (bin_[:, None] * frames + frame[None, :]) * 4 + (column % 4)[None, :]
    tl.store(places, values.to(out.dtype.element_ty), mask=kept)


@triton.jit(do_not_specialize=["bins", "frames"])
def _spectra(
    taps, bias, mean, deviation, out, bins, frames,
    PAIRS: tl.constexpr, COLUMNS: tl.constexpr, BINS: tl.constexpr,
):  # fmt: skip
    number, frame = tl.program_id(2), tl.program_id(1)
    taps += number.to(tl.int64) * bins * frames * (16 * PAIRS)
    out += number.to(tl.int64) * frames * (4 * bins + 1) * (2 * PAIRS)
    bin_ = tl.program_id(0) * BINS + tl.arange(0, BINS)
    column = tl.arange(0, COLUMNS)
    now, tap = taps_of(bin_)
    entry = taps + (((now * frames + frame) * 8 + tap) * (2 * PAIRS))[:, None] + column[None, :]
    real = (bin_ < 4 * bins)[:, None] & (column < 2 * PAIRS)[None, :]
    values = tl.load(entry, mask=real & (now < bins)[:, None], other=0.0).to(tl.float32)
    before = entry + (4 - frames * 8) * (2 * PAIRS)
    values += tl.load(before, mask=real & (now >= 1)[:, None], other=0.0).to(tl.float32)
    own = tl.load(bias + column, mask=column < 2 * PAIRS, other=0.0).to(tl.float32)
    values = tl.load(mean + number) + tl.load(deviation + number) * (values + own[None, :])
    rows = ((column // 2) * frames + frame) * (4 * bins + 1)
    places = out + (rows[None, :] + bin_[:, None]) * 2 + (column % 2)[None, :]
    kept = (bin_ <= 4 * bins)[:, None] & (column < 2 * PAIRS)[None, :]
    tl.store(places, tl.where(real, values, 0.0), mask=kept)


@triton.jit(do_not_specialize=["frames", "length", "samples", "margin"])
def _waves(
    pieces, window, taps, bias, mean, deviation, out, frames, length, samples, margin,
    PAIRS: tl.constexpr, ROWS: tl.constexpr, HOP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(1)
    pieces += number.to(tl.int64) * frames * (4 * HOP * PAIRS)
    taps += number.to(tl.int64) * length * (8 * PAIRS)
    out += number.to(tl.int64) * samples * PAIRS
    pair = tl.arange(0, ROWS)
    sample = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = (pair < PAIRS)[:, None] & (sample < samples)[None, :]
    place = sample + margin
    last, inside = place // HOP, place % HOP
    now, tap = taps_of(sample)
    entry = taps + ((now * 8 + tap) * PAIRS)[None, :] + pair[:, None]
    values = tl.load(entry, mask=real & (now < length)[None, :], other=0.0).to(tl.float32)
    before = entry - 4 * PAIRS
    values += tl.load(before, mask=real & (now >= 1)[None, :], other=0.0).to(tl.float32)
    own = tl.load(bias + pair, mask=pair < PAIRS, other=0.0).to(tl.float32)
    values = tl.load(mean + number) + tl.load(deviation + number) * (values + own[:, None])
    for quarter in tl.static_range(4):
        frame = last - quarter
        covered = real & ((frame >= 0) & (frame < frames))[None, :]
        offset = quarter * HOP + inside
        rows = pair[:, None] * (frames * 4 * HOP)
        own = tl.load(
            pieces + rows + (frame * (4 * HOP) + offset)[None, :], mask=covered, other=0.0
        )
        values += own * tl.load(window + offset)[None, :]
    tl.store(out + pair[:, None] * samples + sample[None, :], values, mask=real)
