"""What of MLX can be used on this machine. MLX is imported by the probes, not with this module."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

#: Largest error of a product of 256 terms of normal noise: float32 gives some 4e-5, TensorFloat-32 some 5e-2.
TRUE_FLOAT32 = 1e-3


def probe_cpu() -> Verdict:
    """Tell whether MLX computes on the CPU."""
    try:
        import mlx.core as mx

        _product_error(mx.cpu)
    except Exception as error:  # whatever a broken installation raises is the answer
        return _broken(error)
    return Ready("cpu", f"MLX {version('mlx')}")


def probe_gpu() -> Verdict:
    """Tell whether MLX computes on an Apple GPU, in whatever precision."""
    return _probe_gpu(float("inf"))


def probe_gpu_in_float32() -> Verdict:
    """Tell whether MLX computes on an Apple GPU in true float32.

    From Apple's M5 on it multiplies in about TensorFloat-32 unless told otherwise, which no promise of parity allows.
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
    except Exception as error:  # whatever it raises is the answer
        return _broken(error)
    return Ready("gpu", f"Apple GPU, MLX {version('mlx')}")


def _product_error(device: Any) -> float:
    """Multiply two matrices on the device, and tell how far the product is from the right one."""
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
