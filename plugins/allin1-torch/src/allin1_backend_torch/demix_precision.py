"""In which precision the separation computes, and PyTorch's settings for it, put back afterwards."""

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
    """Decide the precision on a device: what was asked for on CUDA, float32 elsewhere.

    ``auto`` is half precision on GPUs that are faster in it.
    """
    if device.type != "cuda":
        return "float32"
    if asked != "auto":
        return asked
    return "float16" if torch.cuda.get_device_capability(device) >= HALF_SINCE else "float32"


def less_exact(device: torch.device) -> tuple[Precision, ...]:
    """List the precisions besides float32 that a device has, as :func:`choose_precision` gives them."""
    return ("tf32", "float16") if device.type == "cuda" else ()


@contextmanager
def computing(precision: Precision, threads: int | None = None) -> Iterator[None]:
    """Compute inside, without gradients, in this precision, on so many threads of a CPU.

    What is made inside are inference tensors, which autograd and in-place operations outside refuse:
    make the tensors to be returned before entering, and fill them inside.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(_products("tf32" if precision == "tf32" else "ieee"))
        if threads is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        # The fused encoder layer writes out all scores of the attention on a CPU, which costs a tenth of the time.
        mha = torch.backends.mha
        stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        yield


@contextmanager
def _products(precision: Literal["tf32", "ieee"]) -> Iterator[None]:
    """Set how float32 matrices are multiplied and convolved."""
    # The type checker does not see the settings that these modules get as they are imported.
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
