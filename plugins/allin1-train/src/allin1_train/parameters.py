"""All parameters of a network in one vector, so that a step of the optimiser needs few kernels."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

ALIGN = 64  # in elements; some kernels copy views that are not aligned


class Layout:
    """The position of each parameter of a module in the vector."""

    def __init__(self, module: nn.Module) -> None:
        self.shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
        self.sizes = [p.numel() for p in module.parameters()]
        self.spans = [-(-n // ALIGN) * ALIGN for n in self.sizes]
        self.total = sum(self.spans)

    @torch.no_grad()
    def pack(self, state: Mapping[str, Tensor], device: torch.device | None = None) -> Tensor:
        """Vector float32 [total] of named parameters.

        Raises
        ------
        ValueError
            A parameter is missing, or has another shape.
        """
        if missing := self.shapes.keys() - state.keys():
            raise ValueError(f"there are no parameters {', '.join(sorted(missing)[:3])}")
        flat = torch.zeros(self.total, device=device)
        for (name, shape), part, n in zip(
            self.shapes.items(), flat.split(self.spans), self.sizes, strict=True
        ):
            if tuple(state[name].shape) != shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {shape}")
            part[:n] = state[name].flatten()
        return flat

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Named parameters as views of the vector, whose gradients are combined into one vector."""
        return {
            name: part[:n].view(shape)
            for (name, shape), part, n in zip(
                self.shapes.items(), flat.split(self.spans), self.sizes, strict=True
            )
        }

    def decayed(self, device: torch.device | None = None) -> Tensor:
        """Mask of the parameters with weight decay: matrices and kernels, but not position biases."""
        ones = {
            name: torch.full(shape, float(len(shape) > 1 and "rpb" not in name))
            for name, shape in self.shapes.items()
        }
        return self.pack(ones, device)
