"""Probes of the devices that MLX can use on this machine. Only the probes import MLX, not this module."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

#: Largest error of a product of 256 terms of normal noise: about 4e-5 in float32, 5e-2 in TensorFloat-32.
TRUE_FLOAT32 = 1e-3


def probe_cpu() -> Verdict:
    """Check whether MLX computes on the CPU."""
    try:
        import mlx.core as mx

        _product_error(mx.cpu)
    except Exception as error:  # a broken installation may raise any error
        return _broken(error)
    return Ready("cpu", f"MLX {version('mlx')}")


def probe_gpu() -> Verdict:
    """Check whether MLX computes on an Apple GPU, in any precision."""
    return _probe_gpu(float("inf"))


def probe_gpu_in_float32() -> Verdict:
    """Check whether MLX computes on an Apple GPU in true float32.

    From Apple's M5 on, it multiplies in a precision similar to TensorFloat-32 by default, which violates the declared parity.
    """
    return _probe_gpu(TRUE_FLOAT32)


def _probe_gpu(largest_error: float) -> Verdict:
    try:
        import mlx.core as mx

        if not mx.metal.is_available():
            return Unavailable(
                f"MLX {version('mlx')} has no Metal device here.",
                "Metal needs a Mac with Apple silicon and macOS 14 or later.",
            )
        if _product_error(mx.gpu) > largest_error:
            return Unavailable(
                "MLX multiplies in less than float32 on this GPU.",
                "Set MLX_ENABLE_TF32=0 in the environment before Python starts.",
            )
    except Exception as error:  # a broken installation may raise any error
        return _broken(error)
    return Ready("gpu", f"Apple GPU, MLX {version('mlx')}")


def _product_error(device: Any) -> float:
    """Multiply two matrices on the device, and return the largest error of the product."""
    import mlx.core as mx
    import numpy as np

    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    with mx.stream(device):
        product = mx.array(one) @ mx.array(other)
        mx.eval(product)
    exact = one.astype(np.float64) @ other.astype(np.float64)
    return float(np.abs(np.asarray(product) - exact).max())


def _broken(error: Exception) -> Broken:
    return Broken(f"{type(error).__name__}: {error}")
