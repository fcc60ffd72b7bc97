"""The precision of the separation, and the settings of PyTorch for it, which are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from allin1_core.contracts.demix import Precision as Asked

#: Storage and products in float32; the same with factors of products rounded to TensorFloat-32; storage and
#: products in half precision, with transforms, norms and sums in float32.
Precision = Literal["float32", "tf32", "float16"]

#: First compute capability whose half precision is faster than single.
HALF_SINCE = (7, 0)


def choose_precision(asked: Asked, device: torch.device) -> Precision:
    """Return the precision for a device: the requested one on CUDA, float32 elsewhere.

    ``auto`` is half precision on GPUs for which that is faster.
    """
    if device.type != "cuda":
        return "float32"
    if asked != "auto":
        return asked
    return "float16" if torch.cuda.get_device_capability(device) >= HALF_SINCE else "float32"


def less_exact(device: torch.device) -> tuple[Precision, ...]:
    """List the precisions besides float32 that a device supports, according to :func:`choose_precision`."""
    return ("tf32", "float16") if device.type == "cuda" else ()


@contextmanager
def computing(precision: Precision, threads: int | None = None) -> Iterator[None]:
    """Within the block, compute without gradients, in this precision, with this number of CPU threads.

    Tensors created in the block are inference tensors, which autograd and in-place operations outside refuse:
    create tensors to be returned before entering, and fill them in the block.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(_products("tf32" if precision == "tf32" else "ieee"))
        if threads is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        # On a CPU, the fused encoder layer materialises all attention scores, which takes a tenth of the time.
        mha = torch.backends.mha
        stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        yield


@contextmanager
def _products(precision: Literal["tf32", "ieee"]) -> Iterator[None]:
    """Within the block, set the precision of float32 matrix products and convolutions."""
    # The type checker does not know the settings that these modules define on import.
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    cpu: Any = torch.backends.mkldnn
    if hasattr(cpu, "matmul") and hasattr(cuda.matmul, "fp32_precision"):  # PyTorch 2.9 and later
        on_gpu = [cuda.matmul, cudnn.conv, cudnn.rnn]
        on_cpu = [cpu.matmul, cpu.conv, cpu.rnn]
        before = [(place, place.fp32_precision) for place in (*on_gpu, *on_cpu)]
        try:
            for place in on_gpu:
                place.fp32_precision = precision
            for place in on_cpu:
                place.fp32_precision = "ieee"
            yield
        finally:
            for place, allowed in before:
                place.fp32_precision = allowed
    else:
        matmul, convolution = torch.get_float32_matmul_precision(), cudnn.allow_tf32
        try:
            torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
            cudnn.allow_tf32 = precision == "tf32"
            yield
        finally:
            torch.set_float32_matmul_precision(matmul)
            cudnn.allow_tf32 = convolution
