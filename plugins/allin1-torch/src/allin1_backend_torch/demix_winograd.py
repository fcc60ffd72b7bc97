"""Convolutions with a kernel of 3 x 3 in half the multiplications, by Winograd's F(4, 3) along bins.

Four neighbouring rows of the output need six products with transformed kernels in place of twelve. Along frames the
kernel remains one of three, so that all transforms are sums of whole rows, which are contiguous in memory. Rounding
errors are twice those of a direct convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Rows of the output, and products, of a tile.
ROWS, PRODUCTS = 4, 6

#: Transforms three rows of a kernel to one for each product.
KERNELS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def transform_kernel(weight: Tensor) -> Tensor:
    """Transform ``[out, in, 3, 3]`` to ``[PRODUCTS, out, in, 1, 3]``."""
    kernels = torch.tensor(KERNELS, dtype=torch.float64)
    products = torch.einsum("pr,oirw->poiw", kernels, weight.double())
    return products.to(weight.dtype)[:, :, :, None].contiguous()


def convolve(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """Convolve rows with their neighbours.

    Parameters
    ----------
    x
        ``[n, in, ROWS t + 2, frames]``: rows of t tiles, and one before and one after them.
    kernels
        The return value of :func:`transform_kernel`.
    bias
        ``[out]``.

    Returns
    -------
    Tensor
        ``[n, out, ROWS t, frames]``.
    """
    products = [
        # The bias of one product whose coefficient is 1 in all rows reaches each of them once.
        functional.conv2d(rows, kernel, bias if number == 1 else None, padding=(0, 1))
        for number, (rows, kernel) in enumerate(zip(_transform_rows(x), kernels, strict=True))
    ]
    return _transform_products(products)


def _transform_rows(x: Tensor) -> Tensor:
    """Transform the rows of each tile, and one before and one after them, to the inputs of its products."""
    count, channels, rows, frames = x.shape
    out = x.new_empty(PRODUCTS, count, channels, rows // ROWS, frames)
    end = rows - PRODUCTS + 1
    x0, x1, x2, x3, x4, x5 = (x[:, :, row : end + row : ROWS] for row in range(PRODUCTS))
    even, odd = torch.sub(x4, x2, alpha=4), torch.sub(x3, x1, alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(x4, x2, out=even)
    torch.sub(x3, x1, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(x0, x2, out=out[0])
    torch.add(even, out[0], alpha=4, out=out[0])
    torch.sub(x5, x3, out=out[5])
    out[5].sub_(odd, alpha=4)
    return out


def _transform_products(products: list[Tensor]) -> Tensor:
    """Transform the products of each tile, which are overwritten, to its rows."""
    first, p1, p2, p3, p4, last = products
    count, channels, tiles, frames = first.shape
    out = first.new_empty(count, channels, tiles, ROWS, frames)
    y0, y1, y2, y3 = out.unbind(3)
    near, far = p1 + p2, p3 + p4
    torch.add(near, far, out=y0)
    torch.add(near, far, alpha=4, out=y2)
    near, far = p1.sub_(p2), p3.sub_(p4)
    torch.add(near, far, alpha=2, out=y1)
    torch.add(near, far, alpha=8, out=y3)
    y0 += first
    y3 += last
    return out.flatten(2, 3)
