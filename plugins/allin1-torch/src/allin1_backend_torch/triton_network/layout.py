"""Position of each parameter in the arrays that the kernels read.

A launch gets one array of matrices (twice, as high and low halves) and one of vectors, each with one row per member.
Channels are zero-padded from 24 to 32, and from 12 to 16 per head, as the sizes of Triton's tiles are powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Concatenated named arrays.

    Attributes
    ----------
    shapes
        Shape of each array, in order.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """Total number of values."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def offset(self, name: str) -> int:
        """Number of values before the array `name`."""
        names = list(self.shapes)
        return sum(math.prod(self.shapes[other]) for other in names[: names.index(name)])

    def pack(self, arrays: Mapping[str, _Float64]) -> _Float64:
        """Concatenate `arrays`, which must have these names and shapes, to a flat array."""
        if {name: array.shape for name, array in arrays.items()} != dict(self.shapes):
            raise ValueError(f"Wanted {dict(self.shapes)}.")
        return np.concatenate([arrays[name].ravel() for name in self.shapes])


#: The start of a time layer: a LayerNorm, then planes 2i and 2i + 1 of (query, key, value) at both dilations.
_OPENING_VECTORS = {"next_gain": (32,), "next_shift": (32,), "next_bias": (3, 64)}
_OPENING_MATRICES = {"next_planes": (3, 32, 64)}

#: For each of 3 neighbouring positions 3 frames of the 5 bands around them, which are 15 values, to 12 channels.
FIRST_MATRICES = Layout({"kernel": (3, 16, 16)})
FIRST_VECTORS = Layout({"bias": (16,)})

#: 12 bands of 12 channels.
SECOND_MATRICES = Layout({"kernel": (144, 32)})
SECOND_VECTORS = Layout({"bias": (32,)})

#: For each of 3 frames 3 bands of 24 channels, which are 72 values and 8 of padding.
THIRD_MATRICES = Layout({"kernel": (3, 80, 32), **_OPENING_MATRICES})
THIRD_VECTORS = Layout({"bias": (32,), "gain": (32,), "shift": (32,), **_OPENING_VECTORS})

#: Position biases by dilation, head, and offset of the key from -4.
TIME_ATTENTION_VECTORS = Layout({"position_bias": (2, 2, 16)})

#: `output` by dilation; `up` by 64 of its 192 outputs, then by dilation; `down` by 64 of its inputs.
#: At the start of the instrument layer, queries and keys are one matrix, values another.
TIME_MLP_MATRICES = Layout(
    {
        "output": (2, 32, 32),
        "up": (3, 2, 32, 64),
        "down": (3, 64, 32),
        "queries_keys": (32, 64),
        "values": (32, 32),
    }
)
TIME_MLP_VECTORS = Layout(
    {
        "output_bias": (2, 32),
        "gain": (2, 32),
        "shift": (2, 32),
        "up_bias": (192,),
        "down_bias": (32,),
        "next_gain": (32,),
        "next_shift": (32,),
        "queries_keys_bias": (64,),
        "values_bias": (32,),
    }
)

#: Position biases by head, then offset of the key's instrument and of its frame, both from -4.
INSTRUMENT_MATRICES = Layout(
    {"output": (32, 32), "up": (3, 32, 32), "down": (3, 32, 32), **_OPENING_MATRICES}
)
INSTRUMENT_VECTORS = Layout(
    {
        "output_bias": (32,),
        "gain": (32,),
        "shift": (32,),
        "up_bias": (96,),
        "down_bias": (32,),
        "keys_bias": (32,),
        "values_bias": (32,),
        "position_bias": (2, 96),
        **_OPENING_VECTORS,
    }
)

#: From the four instruments' channels to the 13 logits.
HEAD_MATRICES = Layout({"kernel": (4, 32, 16)})
HEAD_VECTORS = Layout({"gain": (32,), "shift": (32,), "bias": (16,)})
