"""The parameters of the network, folded and laid out as the compiled code reads them.

What can be computed before any song is: the gain and bias of each LayerNorm go into the matrix behind it;
the scale of the attention, and that between the exponential function and powers of two, into the queries
and position biases. A key's bias adds the same to all scores of a query and drops out of the softmax; a value's
bias passes through it unchanged, into the bias of the output. What is left of the frames and of the fifth
instrument that the original pads with are then keys and values of zero. And whatever is added to a state has
the mean over its channels taken away, which no LayerNorm can see, so that no mean has to be computed.
All this is done in float64 and rounded once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._network import NETWORK_SIZE, aligned_zeros
from allin1_core.contracts.logits import EMBEDDING_SIZE, HARMONIX_LABELS
from allin1_core.contracts.model import Parameters
from allin1_core.errors import WeightsError

_Float64 = NDArray[np.float64]

BLOCKS = 11
HEADS = 2
WINDOW = 5
INSTRUMENTS = 4

#: Rows of a matrix whose weights lie side by side; as in ``kernel/network.h``.
ROWS = 6

_LOG2_E = 1 / math.log(2)


def pack(parameters: Parameters) -> NDArray[np.float32]:
    """Fold the parameters of one network into the array that the compiled code reads.

    Parameters
    ----------
    parameters
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.

    Returns
    -------
    float32 ``[NETWORK_SIZE]``, as ``nn_network`` in ``kernel/network.h`` is laid out.

    Raises
    ------
    WeightsError
        If a parameter is missing or has another shape than this network's.
    """
    source = _Source(parameters)
    pieces = source.front_end()
    for i in range(BLOCKS):
        pieces += source.time_layer(f"encoder.layers.{i}.timelayer.")
        pieces += source.instrument_layer(f"encoder.layers.{i}.instlayer.")
    pieces += source.heads()
    packed = aligned_zeros(NETWORK_SIZE)
    np.concatenate([piece.ravel() for piece in pieces], out=packed, casting="same_kind")
    return packed


class _Source:
    """Parameters to read by name, and what to make of them: arrays in the order of the structure."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def take(self, name: str, *shape: int) -> _Float64:
        if name not in self.parameters:
            raise WeightsError(
                f"The model's parameters lack {name!r}.",
                remedy="Fetch the weights again, or choose a model of the architecture all-in-one.",
            )
        values = np.asarray(self.parameters[name])
        if values.shape != shape:
            raise WeightsError(
                f"The model's parameter {name!r} has shape {list(values.shape)};"
                f" the network all-in-one needs {list(shape)}.",
                remedy="Fetch the weights again, or choose a model of the architecture all-in-one.",
            )
        return values.astype(np.float64)

    def linear(self, name: str, outputs: int, inputs: int) -> tuple[_Float64, _Float64]:
        return self.take(f"{name}.weight", outputs, inputs), self.take(f"{name}.bias", outputs)

    def norm(self, name: str, channels: int) -> tuple[_Float64, _Float64]:
        return self.take(f"{name}.weight", channels), self.take(f"{name}.bias", channels)

    def front_end(self) -> list[_Float64]:
        pieces: list[_Float64] = []
        for i, shape in enumerate(((12, 3, 3, 1), (24, 1, 12, 12), (24, 3, 3, 24))):
            kernel = self.take(f"embeddings.conv{i}.weight", *shape)
            bias = self.take(f"embeddings.conv{i}.bias", shape[0])
            pieces += _map(kernel.reshape(shape[0], -1), bias)
        return [*pieces, *self.norm("embeddings.norm", EMBEDDING_SIZE)]

    def time_layer(self, name: str) -> list[_Float64]:
        attentions = [f"{name}attention.", f"{name}attention2."]
        norm = self.norm(f"{name}layernorm_before", EMBEDDING_SIZE)
        queries = [self.queries(attention, norm) for attention in attentions]
        keys_values = [self.keys_values(attention, norm) for attention in attentions]
        pieces = _map(*map(np.concatenate, zip(*queries, strict=True)))
        pieces += _map(*map(np.concatenate, zip(*keys_values, strict=True)))
        for attention in attentions:
            pieces.append(_LOG2_E * self.take(f"{attention}self.rpb", HEADS, 2 * WINDOW - 1))
        for attention in attentions:
            pieces += _map(*self.output(attention))
        return pieces + self.feed_forward(name, 2 * EMBEDDING_SIZE)

    def instrument_layer(self, name: str) -> list[_Float64]:
        attention = f"{name}attention."
        norm = self.norm(f"{name}layernorm_before", EMBEDDING_SIZE)
        pieces = _map(*self.queries(attention, norm)) + _map(*self.keys_values(attention, norm))
        pieces += _position_tables(
            self.take(f"{attention}self.rpb", HEADS, 2 * WINDOW - 1, 2 * WINDOW - 1)
        )
        pieces += _map(*_centred(*self.output(attention)))
        return pieces + self.feed_forward(name, EMBEDDING_SIZE)

    def queries(self, name: str, norm: tuple[_Float64, _Float64]) -> tuple[_Float64, _Float64]:
        scale = _LOG2_E / math.sqrt(EMBEDDING_SIZE // HEADS)
        weight, bias = self.linear(f"{name}self.query", EMBEDDING_SIZE, EMBEDDING_SIZE)
        return _after_norm(scale * weight, scale * bias, norm)

    def keys_values(self, name: str, norm: tuple[_Float64, _Float64]) -> tuple[_Float64, _Float64]:
        shape = (EMBEDDING_SIZE, EMBEDDING_SIZE)
        weights = [self.take(f"{name}self.{part}.weight", *shape) for part in ("key", "value")]
        return _after_norm(np.concatenate(weights), np.zeros(2 * EMBEDDING_SIZE), norm)

    def output(self, name: str) -> tuple[_Float64, _Float64]:
        weight, bias = self.linear(f"{name}output.dense", EMBEDDING_SIZE, EMBEDDING_SIZE)
        return weight, bias + weight @ self.take(f"{name}self.value.bias", EMBEDDING_SIZE)

    def feed_forward(self, name: str, inputs: int) -> list[_Float64]:
        hidden = 4 * inputs
        norm = self.norm(f"{name}layernorm_after", inputs)
        up = _after_norm(*self.linear(f"{name}intermediate.dense", hidden, inputs), norm)
        down = _centred(*self.linear(f"{name}output.dense", EMBEDDING_SIZE, hidden))
        return _map(*up) + _map(*down)

    def heads(self) -> list[_Float64]:
        outputs = {"beat": 1, "downbeat": 1, "section": 1, "function": len(HARMONIX_LABELS)}
        gain, shift = self.norm("norm", EMBEDDING_SIZE)
        pairs = [
            self.linear(f"{name}_classifier.classifier", rows, INSTRUMENTS * EMBEDDING_SIZE)
            for name, rows in outputs.items()
        ]
        weight, bias = map(np.concatenate, zip(*pairs, strict=True))
        weight = weight.reshape(-1, INSTRUMENTS, EMBEDDING_SIZE)
        bias = bias + (weight @ shift).sum(axis=1)
        return [(weight * gain).transpose(0, 2, 1), bias, gain, shift]


def _map(weight: _Float64, bias: _Float64) -> list[_Float64]:
    """A matrix with the weights of six rows side by side, and its bias."""
    return [weight.reshape(-1, ROWS, weight.shape[1]).transpose(0, 2, 1), bias]


def _after_norm(
    weight: _Float64, bias: _Float64, norm: tuple[_Float64, _Float64]
) -> tuple[_Float64, _Float64]:
    """The map that does, behind a LayerNorm without gain and bias, what this one does behind `norm`."""
    gain, shift = norm
    return weight * gain, weight @ shift + bias


def _centred(weight: _Float64, bias: _Float64) -> tuple[_Float64, _Float64]:
    """The same map, less the mean over the channels that it gives."""
    return weight - weight.mean(axis=0), bias - bias.mean()


def _position_tables(bias: _Float64) -> list[_Float64]:
    """What `nn_instrument_layer` adds to scores, and the score of all keys that are padding.

    Parameters
    ----------
    bias
        ``[head, instrument offset, frame offset]``, offsets of the key from -4 to 4.

    Returns
    -------
    ``[before, head, turn, place in the window, key instrument]`` and ``[before, head, query instrument]``,
    in units of log 2; `before` is how many frames before its query the window begins.
    """
    by_before = np.stack([bias[:, :, 4 - before : 9 - before] for before in range(WINDOW)])
    turn, key = np.ogrid[:INSTRUMENTS, :INSTRUMENTS]
    scores = by_before[:, :, key - (key - turn) % INSTRUMENTS + 4]  # before, head, turn, key, place
    padding = by_before[
        :, :, INSTRUMENTS - np.arange(INSTRUMENTS) + 4
    ]  # before, head, query, place
    return [
        _LOG2_E * scores.transpose(0, 1, 2, 4, 3),
        _LOG2_E * np.log(np.exp(padding).sum(axis=-1)),
    ]
