"""The network's parameters, with everything that can be computed in advance folded into its matrices.

Published for plugins that run the network: reading, checking and folding are the same for all, and defined here. The
memory layout of the folded matrices is up to them. Everything is computed in float64, to be rounded once.

What is folded, and why the outputs stay the same:

* LayerNorm's gain and bias become part of the following matrix, so only the standardisation remains.
* 1/sqrt(12) becomes part of the queries.
* A key's bias adds the same number to all scores of a query, which softmax ignores. A value's bias passes
  through the attention unchanged, because weights sum to 1, and becomes part of the output's bias. (LayerNorm's
  own bias, multiplied by the key and value matrices, remains.)
* The original pads with zeros *after* the LayerNorm, and lets real frames attend to the padding. Without
  both biases, the keys and values of the padding are zeros.

The values between the blocks are only read through LayerNorms, which subtract the mean over the channels. If it is
subtracted from every matrix that writes them (:meth:`Map.centred`), nothing has to be subtracted later: a LayerNorm
becomes a division by the root mean square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import EMBEDDING_SIZE
from allin1_core.contracts.model import Parameters
from allin1_core.reference.network_parameters import (
    HEADS,
    Affine,
    Attention,
    Layer,
    Network,
    Norm,
    read_network,
)

Float64 = NDArray[np.float64]

#: Channels of each attention head.
HEAD_CHANNELS = EMBEDDING_SIZE // HEADS


@dataclass(frozen=True, eq=False)
class Map:
    """A linear map: weight ``[out, in]`` and bias ``[out]``, float64."""

    weight: Float64
    bias: Float64

    def scaled(self, factor: float) -> Map:
        """Return the map whose output is `factor` times as large."""
        return Map(factor * self.weight, factor * self.bias)

    def centred(self) -> Map:
        """Return the same map, minus the mean of its output over the channels."""
        return Map(self.weight - self.weight.mean(axis=0), self.bias - self.bias.mean())

    def after(self, norm: Norm) -> Map:
        """Return the map that does, after a LayerNorm without gain and bias, what this one does after `norm`."""
        gain, shift = norm.gain[:, 0], norm.bias[:, 0]
        return Map(self.weight * gain, self.weight @ shift + self.bias)


@dataclass(frozen=True, eq=False)
class FoldedAttention:
    """A neighbourhood attention after a LayerNorm without gain and bias.

    Attributes
    ----------
    query, key, value
        ``[24, 24]`` each, the 12 channels of the first head before those of the second. Key and value have no biases of
        their own.
    output
        Its bias includes that of the values.
    position_bias
        ``[2, 9]`` or ``[2, 9, 9]``, as of :class:`~allin1_core.reference.network_parameters.Attention`.
    """

    query: Map
    key: Map
    value: Map
    output: Map
    position_bias: Float64


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A transformer layer: attentions, then two maps with a GELU between them, the first after a LayerNorm."""

    attentions: tuple[FoldedAttention, ...]
    up: Map
    down: Map


@dataclass(frozen=True, eq=False)
class FoldedBlock:
    """A time layer with two attentions, followed by an instrument layer with one."""

    time: FoldedLayer
    instruments: FoldedLayer


@dataclass(frozen=True, eq=False)
class FoldedNetwork:
    """One member of a model.

    Attributes
    ----------
    plain
        The original parameters, which are needed for convolutions and LayerNorms.
    blocks
        The blocks, in order.
    heads
        ``[13, 96]``, from the channels of all instruments after the last LayerNorm without gain and bias.
    """

    plain: Network
    blocks: tuple[FoldedBlock, ...]
    heads: Map


def fold_network(parameters: Parameters) -> FoldedNetwork:
    """Read and fold the parameters of one network.

    Parameters
    ----------
    parameters
        Parameters by the names of the original's state dict; the axes of convolution kernels are output, height
        (frames), width (bands), input.

    Raises
    ------
    WeightsError
        A parameter is missing or has another shape than in this network.
    """
    plain = read_network(parameters, np.float64)
    blocks = tuple(FoldedBlock(_layer(b.time), _layer(b.instruments)) for b in plain.blocks)
    several = len(STEMS), 1
    norm = Norm(np.tile(plain.norm.gain, several), np.tile(plain.norm.bias, several))
    return FoldedNetwork(plain, blocks, map_of(plain.heads).after(norm))


def map_of(affine: Affine) -> Map:
    """Return an affine map with its bias as ``[out]``."""
    return Map(np.asarray(affine.weight), np.asarray(affine.bias[:, 0]))


def _layer(layer: Layer) -> FoldedLayer:
    return FoldedLayer(
        attentions=tuple(_attention(each, layer.before) for each in layer.attentions),
        up=map_of(layer.expand).after(layer.after),
        down=map_of(layer.contract),
    )


def _attention(attention: Attention, norm: Norm) -> FoldedAttention:
    key, value, output = (map_of(a) for a in (attention.key, attention.value, attention.output))
    return FoldedAttention(
        query=map_of(attention.query).scaled(1 / math.sqrt(HEAD_CHANNELS)).after(norm),
        key=Map(key.weight, np.zeros(EMBEDDING_SIZE)).after(norm),
        value=Map(value.weight, np.zeros(EMBEDDING_SIZE)).after(norm),
        output=Map(output.weight, output.bias + output.weight @ value.bias),
        position_bias=np.asarray(attention.position_bias),
    )
