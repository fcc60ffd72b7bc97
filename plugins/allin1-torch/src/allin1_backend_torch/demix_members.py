"""One model of a bag, ready to separate segments on a device.

It is Demucs' own module, its faster version for a CPU, or the network with channels last.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from allin1_core.contracts.demix import DemixParameters
from allin1_core.errors import InputError
from demucs.htdemucs import HTDemucs
from torch import Tensor

from allin1_backend_torch.demix_cpu import Faster, load_kernels
from allin1_backend_torch.demix_models import Bag
from allin1_backend_torch.demix_network import PLAIN, Network
from allin1_backend_torch.demix_operations import Operations
from allin1_backend_torch.demix_parameters import Parameters, is_supported, lay_out
from allin1_backend_torch.demix_precision import Precision
from allin1_backend_torch.demix_segments import Cut

#: Separates float32 ``[segments, 2, samples]`` into float32 ``[segments, sources, 2, samples]``.
Forward = Callable[[Tensor], Tensor]

#: Makes what a network is made of, for its parameters and a precision.
MakeOperations = Callable[[Parameters, Precision], Operations]


@dataclass(frozen=True, eq=False)
class Member:
    """A model of a bag.

    Attributes
    ----------
    forward
        Runs the model.
    cut
        How the song is cut for this model.
    weights
        Weight of its estimate of each source; the weights of all members sum to 1.
    draws
        Whether Demucs' module draws a random number for each segment.
    """

    forward: Forward
    cut: Cut
    weights: tuple[float, ...]
    draws: bool


def ready_members(
    bag: Bag,
    parameters: DemixParameters,
    precision: Precision,
    device: torch.device,
    *,
    channels_last: bool,
    operations: MakeOperations | None = None,
) -> list[Member]:
    """Move the models of a bag to a device.

    With `channels_last`, those whose architecture it knows run as a
    :class:`~allin1_backend_torch.demix_network.Network`, made of what `operations` gives for its parameters, if not
    of PyTorch's operations; the others as Demucs' modules, in float32, rearranged for a CPU where that is the device.

    Raises
    ------
    InputError
        A segment is longer than a model supports.
    """
    totals = [sum(each) for each in zip(*bag.weights, strict=True)]
    dtype = torch.float16 if precision == "float16" else torch.float32
    members = []
    for model, weights in zip(bag.models, bag.weights, strict=True):
        cut = cut_of(model, parameters)
        forward: Forward
        if channels_last and is_supported(model):
            own = lay_out(model, dtype, device)
            made = PLAIN if operations is None else operations(own, precision)
            forward = Network(own, made)
        elif device.type == "cpu" and is_supported(model):
            forward = Faster(model, load_kernels())
        else:
            forward = partial(_run_module, model.to(device))
        shares = tuple(one / total for one, total in zip(weights, totals, strict=True))
        draws = isinstance(model, HTDemucs) and model.crosstransformer is not None
        members.append(Member(forward, cut, shares, draws and model.crosstransformer.emb == "sin"))
    return members


def cut_of(model: Any, parameters: DemixParameters) -> Cut:
    """Return how a song is cut for a model.

    Raises
    ------
    InputError
        The segment length in `parameters` is longer than the model supports.
    """
    own, asked = model.segment, parameters.segment_s
    is_transformer = isinstance(model, HTDemucs)
    if is_transformer and asked is not None and asked > own:
        raise InputError(
            f"The Demucs model {parameters.model} cannot separate segments of {asked:g} s.",
            remedy=f"Use {float(own):g} s or less.",
        )
    length = int(model.samplerate * (own if asked is None else asked))
    valid_length: Callable[[int], int] = getattr(model, "valid_length", int)
    window = partial(_always, length) if is_transformer else valid_length
    return Cut(length, int((1 - parameters.overlap) * length), window)


def _always(length: int, _: int) -> int:
    return length


def _run_module(model: Any, segments: Tensor) -> Tensor:
    with _random_state_kept():
        out: Tensor = model(segments)
    return out


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Preserve the state of Python's random numbers, from which Demucs' transformers draw."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)
