"""The network's parameters, with whatever can be computed before any song folded into its matrices.

Published for plugins that run the network: reading, checking and folding are the same for all and stand here. How the
folded matrices are laid out is their own concern. Everything is done in float64, to be rounded once.

What is folded, and why the outputs stay the same:

* LayerNorm's gain and bias go into the matrix that follows, so only the standardisation is left of it.
* 1/sqrt(12) goes into the queries.
* A key's bias adds the same number to all scores of a query, which softmax ignores. A value's bias comes
  out of the attention unchanged, because weights sum to 1, and so joins the output's bias. (LayerNorm's own
  bias, seen through the key and value matrices, stays.)
* The original pads with zeros *after* the LayerNorm, and lets real frames attend to the padding. With both
  biases gone, the keys and values of padding are zeros.

The values that run through the blocks are read only through LayerNorms, which take away the mean over the
channels. Whoever takes it away from every matrix that writes them (:meth:`Map.centred`) has nothing to subtract later:
what remains of a LayerNorm is a division by the root mean square.
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
        """Return the map that gives `factor` times as much."""
        return Map(factor * self.weight, factor * self.bias)

    def centred(self) -> Map:
        """Return the same map, less the mean over the channels that it gives."""
        return Map(self.weight - self.weight.mean(axis=0), self.bias - self.bias.mean())

    def after(self, norm: Norm) -> Map:
        """Return the map that does, behind a LayerNorm without gain and bias, what this one does behind `norm`."""
        gain, shift = norm.gain[:, 0], norm.bias[:, 0]
        return Map(self.weight * gain, self.weight @ shift + self.bias)


@dataclass(frozen=True, eq=False)
class FoldedAttention:
    """A neighbourhood attention behind a LayerNorm without gain and bias.

    Attributes
    ----------
    query, key, value
        ``[24, 24]`` each, the 12 channels of the first head before those of the second. The last two without
        biases of their own.
    output
        With the values' bias in its own.
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
    """A transformer layer: attentions, then two maps with a GELU between, the first behind a LayerNorm."""

    attentions: tuple[FoldedAttention, ...]
    up: Map
    down: Map


@dataclass(frozen=True, eq=False)
class FoldedBlock:
    """A time layer, with two attentions, and the instrument layer behind it, with one."""

    time: FoldedLayer
    instruments: FoldedLayer


@dataclass(frozen=True, eq=False)
class FoldedNetwork:
    """One member of a model.

    Attributes
    ----------
    plain
        The parameters as they are: convolutions and LayerNorms are needed so.
    blocks
        In order.
    heads
        ``[13, 96]``, from all instruments' channels behind the last LayerNorm without gain and bias.
    """

    plain: Network
    blocks: tuple[FoldedBlock, ...]
    heads: Map


def fold_network(parameters: Parameters) -> FoldedNetwork:
    """Read and fold the parameters of one network.

    Parameters
    ----------
    parameters
        Under the names of the original's state dict; convolution kernels laid out output, height (frames), width (bands),
        input.

    Raises
    ------
    WeightsError
        A parameter is missing or has another shape than this network's.
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
