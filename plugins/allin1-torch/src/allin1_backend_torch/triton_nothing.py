"""A kernel that does nothing: compiling it makes Triton do what it does once for all kernels."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False

from __future__ import annotations

import triton


@triton.jit
def nothing(number):
    """Do nothing."""
