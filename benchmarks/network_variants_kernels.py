"""Candidates for the network's kernels in plain Triton: the present ones with another GELU."""

# mypy: ignore-errors

from __future__ import annotations

import importlib.util
import sys

import triton
import triton.language as tl


@triton.jit
def fast_gelu(x):
    """Twice GELU: ``x (1 + erf(x / sqrt 2))``, without a division.

    ``log2 erfc(s / sqrt 2)`` is nearly a parabola for ``s = |x|``: a polynomial of degree 8 without a constant term, fitted
    to the error of the result on [0, 6], and falling beyond. The error is at most 2e-8, and 5e-7 in float32.
    """
    size = tl.abs(x)
    power = -1.90198857e-06 * size + 2.80556843e-05
    power = power * size - 0.000131465235
    power = power * size - 0.000272101465
    power = power * size + 0.00724546637
    power = power * size - 0.0526276534
    power = power * size - 0.459162124
    power = power * size - 1.15111105
    return x + size - size * tl.exp2(power * size)


def with_fast_gelu(name: str):
    """A copy of a module of kernels whose GELU is :func:`fast_gelu`."""
    found = importlib.util.find_spec(f"allin1_backend_torch.triton_network.{name}")
    copied = f"fast_gelu_{name}"
    if copied not in sys.modules:
        spec = importlib.util.spec_from_file_location(copied, found.origin)
        module = importlib.util.module_from_spec(spec)
        sys.modules[copied] = module
        spec.loader.exec_module(module)
        module.doubled_gelu = fast_gelu
    return sys.modules[copied]
