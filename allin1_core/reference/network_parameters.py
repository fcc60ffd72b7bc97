"""The parameters of the All-In-One network: their names, shapes and purpose.

Names are those of the state dict of mir-aidj/all-in-one 1.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import EMBEDDING_SIZE, HARMONIX_LABELS
from allin1_core.contracts.model import Parameters
from allin1_core.errors import WeightsError

#: Arrays of the floating-point type that was passed to :func:`read_network`.
Floats = NDArray[Any]

#: Blocks of a time layer and an instrument layer; block i has the dilations 2^i and 2^(i+1).
BLOCKS = 11

#: Attention heads, each of ``EMBEDDING_SIZE // HEADS`` channels.
HEADS = 2

#: Number of keys in a window along each of its axes.
WINDOW = 5

#: Number of logits per frame by the name of their classifier, in the order of :attr:`Network.heads`.
OUTPUTS = {"beat": 1, "downbeat": 1, "section": 1, "function": len(HARMONIX_LABELS)}


@dataclass(frozen=True, eq=False)
class Convolution:
    """A kernel ``[out, time, frequency, in]`` and a bias ``[out, 1]``."""

    kernel: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Affine:
    """A map ``weight @ x + bias`` of columns: weight ``[out, in]``, bias ``[out, 1]``."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Norm:
    """Gain and bias of a LayerNorm, each ``[channels, 1]``."""

    gain: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Attention:
    """The four projections of a neighbourhood attention, and its bias by relative position.

    `position_bias` is ``[heads, 9]`` in the time layers, by frames from query to key, −4 to 4 (in units
    of the dilation); in the instrument layers ``[heads, 9, 9]``, by instruments and then by frames.
    """

    query: Affine
    key: Affine
    value: Affine
    output: Affine
    position_bias: Floats


@dataclass(frozen=True, eq=False)
class Layer:
    """A transformer layer: two attentions side by side in a time layer, one in an instrument layer."""

    before: Norm
    attentions: tuple[Attention, ...]
    after: Norm
    expand: Affine
    contract: Affine


@dataclass(frozen=True, eq=False)
class Block:
    """A time layer, followed by an instrument layer."""

    dilation: int
    time: Layer
    instruments: Layer


@dataclass(frozen=True, eq=False)
class Network:
    """One member of a model, in the order in which its parts are run."""

    convolutions: tuple[Convolution, ...]
    front_norm: Norm
    blocks: tuple[Block, ...]
    norm: Norm
    heads: Affine


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by name."""
    size = EMBEDDING_SIZE
    positions = 2 * WINDOW - 1
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)

    def affine(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    for i, kernel in enumerate(((12, 3, 3, 1), (24, 1, 12, 12), (24, 3, 3, 24))):
        shapes[f"embeddings.conv{i}.weight"] = kernel
        shapes[f"embeddings.conv{i}.bias"] = kernel[:1]
    norm("embeddings.norm", size)
    for i in range(BLOCKS):
        for layer, attentions, axes in (
            ("timelayer", ("attention", "attention2"), 1),
            ("instlayer", ("attention",), 2),
        ):
            prefix = f"encoder.layers.{i}.{layer}"
            width = size * len(attentions)
            norm(f"{prefix}.layernorm_before", size)
            for attention in attentions:
                for projection in ("self.query", "self.key", "self.value", "output.dense"):
                    affine(f"{prefix}.{attention}.{projection}", size, size)
                shapes[f"{prefix}.{attention}.self.rpb"] = (HEADS, *(positions,) * axes)
            norm(f"{prefix}.layernorm_after", width)
            affine(f"{prefix}.intermediate.dense", 4 * width, width)
            affine(f"{prefix}.output.dense", size, 4 * width)
    norm("norm", size)
    for output, count in OUTPUTS.items():
        affine(f"{output}_classifier.classifier", count, len(STEMS) * size)
    return shapes


def read_network(parameters: Parameters, dtype: DTypeLike = np.float32) -> Network:
    """Convert `parameters` to a :class:`Network`, with copies of floating-point type `dtype`.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape. Unknown names are ignored.
    """
    arrays = _checked(parameters, dtype)

    def norm(name: str) -> Norm:
        return Norm(arrays[f"{name}.weight"][:, None], arrays[f"{name}.bias"][:, None])

    def affine(name: str) -> Affine:
        return Affine(arrays[f"{name}.weight"], arrays[f"{name}.bias"][:, None])

    def convolution(name: str) -> Convolution:
        return Convolution(arrays[f"{name}.weight"], arrays[f"{name}.bias"][:, None])

    def attention(name: str) -> Attention:
        return Attention(
            query=affine(f"{name}.self.query"),
            key=affine(f"{name}.self.key"),
            value=affine(f"{name}.self.value"),
            output=affine(f"{name}.output.dense"),
            position_bias=arrays[f"{name}.self.rpb"],
        )

    def layer(name: str, attentions: tuple[str, ...]) -> Layer:
        return Layer(
            before=norm(f"{name}.layernorm_before"),
            attentions=tuple(attention(f"{name}.{each}") for each in attentions),
            after=norm(f"{name}.layernorm_after"),
            expand=affine(f"{name}.intermediate.dense"),
            contract=affine(f"{name}.output.dense"),
        )

    heads = [affine(f"{output}_classifier.classifier") for output in OUTPUTS]
    return Network(
        convolutions=tuple(convolution(f"embeddings.conv{i}") for i in range(3)),
        front_norm=norm("embeddings.norm"),
        blocks=tuple(
            Block(
                dilation=2**i,
                time=layer(f"encoder.layers.{i}.timelayer", ("attention", "attention2")),
                instruments=layer(f"encoder.layers.{i}.instlayer", ("attention",)),
            )
            for i in range(BLOCKS)
        ),
        norm=norm("norm"),
        heads=Affine(
            np.concatenate([head.weight for head in heads]),
            np.concatenate([head.bias for head in heads]),
        ),
    )


def _checked(parameters: Parameters, dtype: DTypeLike) -> Mapping[str, Floats]:
    arrays = {}
    for name, shape in parameter_shapes().items():
        if name not in parameters:
            raise WeightsError(
                f"The model's parameters lack {name}.",
                remedy="Use the complete parameters of an All-In-One network.",
            )
        found = np.shape(parameters[name])
        if found != shape:
            raise WeightsError(
                f"The model's parameter {name} has shape {list(found)}; wanted {list(shape)}.",
                remedy="Use the parameters of an All-In-One network, "
                "with convolution kernels in the order output, height, width, input.",
            )
        arrays[name] = np.array(parameters[name], dtype, order="C")
    return arrays
