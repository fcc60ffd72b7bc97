"""The network with attention in time by NATTEN, the library that the original uses.

NATTEN removed relative position biases in version 0.20. They are represented by additional channels: a bias depends
only on the offset of the key, -4 to 4, so the position modulo nine determines it, and a function on nine phases is a
sum of four cosines, four sines and a constant, which softmax ignores. A key contains the cosines and sines of its own
position, a query their coefficients rotated by its position, and the dot product of these eight channels is the bias.

NATTEN's CUDA kernels process a song at once. Without them, NATTEN uses PyTorch's FlexAttention, uncompiled (compiled,
it only supports half precision), which computes the scores of all pairs of frames. The song is then split into short
overlapping pieces of every d-th frame, in which the windows of the queries that are kept are those of the whole song.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from allin1_core.contracts.stages import Nn, Setup
from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict
from allin1_core.reference.network_folding import HEAD_CHANNELS
from numpy.typing import NDArray
from torch import Tensor

from allin1_backend_torch.network import prepare_ensemble
from allin1_backend_torch.network_parameters import CHANNELS, Block
from allin1_backend_torch.network_planes import INSTRUMENTS, columns, normalised_with_ones
from allin1_backend_torch.network_time import TimeLayer, add_contexts, padded_length
from allin1_backend_torch.running import Each, Span
from allin1_backend_torch.waiting import Waiting

#: Number of keys per query.
WINDOW = 5

#: Offsets of a key from its query, in steps of the dilation: -4 to 4.
OFFSETS = 9

#: Channels that represent the bias: four cosines, four sines.
BIAS_CHANNELS = OFFSETS - 1

#: Channels passed to NATTEN: its own kernels require a multiple of 8, FlexAttention a power of two.
WIDTH = 32

#: Possible lengths of a piece in frames, of which up to four at its ends belong to its neighbours; the next one is used if
#: there are fewer frames. Only a few, because PyTorch traces FlexAttention for each length, up to a limited number.
PIECES = (32, 16, 8, WINDOW)


def probe(verdict: Verdict) -> Verdict:
    """Check whether NATTEN computes on the device of PyTorch's own `verdict`, and with which implementation."""
    if not isinstance(verdict, Ready):
        return verdict
    try:
        import natten  # type: ignore[import-not-found, unused-ignore]

        kernels = _kernels(torch.device(verdict.device))
    except Exception as error:  # for example if the library was built for another PyTorch
        return Broken(f"{type(error).__name__}: {error}")
    if kernels is None:
        return Unavailable(
            f"NATTEN {natten.__version__} does not support float32 on this device"
            f" with PyTorch {torch.__version__}.",
            "Install PyTorch 2.7 or later, or NATTEN's wheel for CUDA: see https://natten.org/install.",
        )
    return Ready(verdict.device, f"{verdict.detail}, NATTEN {version('natten')}")


def _kernels(device: torch.device) -> str | None:
    """The implementation that NATTEN would use: its CUDA kernels, otherwise FlexAttention, otherwise None."""
    from natten.backends import (  # type: ignore[import-not-found, unused-ignore]
        get_compatible_backends,
    )

    some = torch.zeros(1, WINDOW + 1, 2, WIDTH, device=device, dtype=torch.float32)
    there = get_compatible_backends(some, some, some, torch_compile=False)
    return next((name for name in ("cutlass-fna", "flex-fna") if name in there), None)


def create(setup: Setup) -> Nn:
    """Prepare the networks of ``setup.model`` on ``setup.device``.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    """
    device = torch.device(setup.device)
    kernels = _kernels(device)
    attend = attend_at_once if kernels == "cutlass-fna" else attend_in_pieces
    ensemble = prepare_ensemble(setup)
    attentions = {
        block: prepare_attentions(block) for member in ensemble.members for block in member.blocks
    }
    layers = partial(by_natten, attentions, attend)
    return Waiting(replace(ensemble, time_layers=layers), device)


@dataclass(frozen=True, eq=False)
class Attention:
    """Parameters of one attention in time.

    Attributes
    ----------
    rows
        ``[25, 72]``, to be multiplied from the right: queries, keys and values of two heads.
    query_bias
        ``[9, 2, 8]``: channels of the bias, by the phase of the query's position and by head.
    key_bias
        ``[9, 1, 8]``: the same for a key, shared by both heads.
    """

    rows: Tensor
    query_bias: Tensor
    key_bias: Tensor


def prepare_attentions(block: Block) -> tuple[Attention, Attention]:
    """Arrange the parameters of a block's attentions at both dilations."""
    parameters, attentions = block.time_attentions, []
    for i, windows in enumerate(parameters.position_biases):
        # Windows that start four steps before the query, and at it, contain all offsets.
        bias = torch.cat([windows[4, :4, :, 0], windows[0, :, :, 0]])
        queries = parameters.queries[i * CHANNELS : (i + 1) * CHANNELS]
        keys_values = parameters.keys_values[2 * i * CHANNELS : 2 * (i + 1) * CHANNELS]
        query_bias, key_bias = bias_channels(bias.double().cpu().numpy())
        attentions.append(
            Attention(
                rows=torch.cat([queries, keys_values]).t().contiguous(),
                query_bias=torch.from_numpy(query_bias).to(bias),
                key_bias=torch.from_numpy(key_bias).to(bias),
            )
        )
    return attentions[0], attentions[1]


def bias_channels(
    bias: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert biases by offset to channels whose dot product is the bias minus its mean.

    Parameters
    ----------
    bias
        ``[9, heads]``, by the offset of the key from -4.

    Returns
    -------
    query, key
        ``[9, heads, 8]`` and ``[9, 1, 8]``, by place modulo 9: for places i and j no more than four apart,
        ``query[i % 9, head] @ key[j % 9, 0] == bias[j - i + 4, head] - bias[:, head].mean()``.
    """
    waves = 2 * np.pi / OFFSETS * np.arange(1, 5)
    offsets = np.outer(np.arange(-4, 5), waves)
    cosines = 2 / OFFSETS * bias.T @ np.cos(offsets)  # [head, wave]
    sines = 2 / OFFSETS * bias.T @ np.sin(offsets)
    places = np.outer(np.arange(OFFSETS), waves)[:, None]
    cosine, sine = np.cos(places), np.sin(places)
    query = np.concatenate([cosines * cosine - sines * sine, cosines * sine + sines * cosine], -1)
    return query, np.concatenate([cosine, sine], -1)


#: Attends with queries, keys and values ``[3, 4, frames, 2, 12]`` and their biases, at a dilation, over
#: frames of which only the first so many are real; gives contexts ``[4, real frames, 2, 12]``.
Attend = Callable[[Attention, Tensor, int, int], Tensor]


def by_natten(
    attentions: Mapping[Block, tuple[Attention, Attention]],
    attend: Attend,
    like: Tensor,
    each: Each,
    spans: Sequence[Span],
) -> TimeLayer:
    """Create the time layers with attention by NATTEN."""
    # FlexAttention consists of many small operations, for which PyTorch's threads wait longer than they compute.
    torch.set_num_threads(1)  # restored by :func:`.running`
    frames = like.shape[1] // INSTRUMENTS

    def apply(block: Block, dilation: int, planes: Tensor) -> None:
        operand = normalised_with_ones(planes)
        contexts = planes.new_empty(2 * CHANNELS, planes.shape[1])
        for i, attention in enumerate(attentions[block]):
            rows = (operand.t() @ attention.rows).view(frames, INSTRUMENTS, 3, 2, HEAD_CHANNELS)
            padded = rows.new_zeros(
                3, INSTRUMENTS, padded_length(frames, dilation), 2, HEAD_CHANNELS
            )
            padded[:, :, :frames] = rows.permute(2, 1, 0, 3, 4)
            context = attend(attention, padded, dilation << i, frames)
            own = contexts[i * CHANNELS : (i + 1) * CHANNELS]
            own.view(2, HEAD_CHANNELS, frames, INSTRUMENTS)[:] = context.permute(2, 3, 1, 0)
        each(partial(_add_contexts, block, contexts, planes), spans)

    return apply


def _add_contexts(block: Block, contexts: Tensor, planes: Tensor, span: Span) -> None:
    add_contexts(block, columns(contexts, *span), columns(planes, *span))


def attend_at_once(attention: Attention, rows: Tensor, dilation: int, frames: int) -> Tensor:
    """Attend over a whole song."""
    places = torch.arange(rows.shape[2], device=rows.device) // dilation
    context = _na1d(attention, rows, places % OFFSETS, dilation)
    return context[:, :frames]


def attend_in_pieces(attention: Attention, rows: Tensor, dilation: int, frames: int) -> Tensor:
    """Attend over short pieces, each of every `dilation`-th frame."""
    members, home = (
        torch.from_numpy(index).to(rows.device) for index in pieces(rows.shape[2], dilation, frames)
    )
    places = torch.arange(members.shape[1], device=rows.device)
    apart = rows[:, :, members].flatten(1, 2)
    context = _na1d(attention, apart, places % OFFSETS, 1)
    return context.view(INSTRUMENTS, -1, 2, HEAD_CHANNELS)[:, home]


def pieces(padded: int, dilation: int, frames: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lay a song out as overlapping pieces of equal length.

    A query with two frames of its piece on either side has its window within the piece. The others are at an end of the
    song, where the window is shifted inwards as at the end of the piece.

    Parameters
    ----------
    padded
        Number of frames of the song with padding, at least five times the dilation.
    dilation
        Distance of the members of a piece in frames.
    frames
        Number of frames of the song without padding.

    Returns
    -------
    members
        ``[pieces, length]``: frame of each member of each piece.
    home
        ``[frames]``: index in the flattened `members` where the window of a frame is correct.
    """
    length = next(size for size in PIECES if size <= padded // dilation)
    step = length - (WINDOW - 1)
    place, residue = np.divmod(np.arange(frames), dilation)
    class_sizes = (padded - residue + dilation - 1) // dilation
    # The last piece of a residue class is shifted to end with it.
    last = np.maximum(-(-(class_sizes - length) // step), 0)
    number = np.clip((place - WINDOW // 2) // step, 0, last)
    start = np.minimum(number * step, class_sizes - length)
    begins, piece = np.unique(start * dilation + residue, return_inverse=True)
    members = begins[:, None] + dilation * np.arange(length)
    return members, piece * length + place - start


def _na1d(attention: Attention, rows: Tensor, phases: Tensor, dilation: int) -> Tensor:
    """Attend with biases to five keys, `dilation` frames apart.

    `rows` is ``[3, batch, frames, 2, 12]``, `phases` ``[frames]`` are the positions modulo 9.
    """
    import natten

    # For each head: twelve channels, eight for the bias, and zeros.
    wide = rows.new_zeros(*rows.shape[:-1], WIDTH)
    wide[..., :HEAD_CHANNELS] = rows
    both = slice(HEAD_CHANNELS, HEAD_CHANNELS + BIAS_CHANNELS)
    wide[0, ..., both] = attention.query_bias[phases]
    wide[1, ..., both] = attention.key_bias[phases]
    with warnings.catch_warnings():
        # NATTEN uses a deprecated argument of FlexAttention and does not compile it; both cause warnings.
        warnings.simplefilter("ignore")
        context: Tensor = natten.na1d(*wide, kernel_size=WINDOW, dilation=dilation, scale=1.0)
    return context[..., :HEAD_CHANNELS]
