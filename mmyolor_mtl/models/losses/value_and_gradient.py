"""Losses that compute their gradient along with their value.

Autograd keeps what each of a loss's operations needs later, and runs over whole tensors. Where a loss is a sum over
pixels its gradient can be written down in the same pass, chunk by chunk in the cache, and only it is kept.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _WithGradient(torch.autograd.Function):
    """Give a value that was computed without autograd the gradients that were computed with it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *tensors: Tensor) -> Tensor:
        """``count`` inputs followed by as many gradients."""
        ctx.dtypes = [tensor.dtype for tensor in tensors[:count]]
        ctx.save_for_backward(*tensors[count:])
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what was kept."""
        gradients = [(grad * kept).to(dtype) for kept, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)]
        return (None, None, *gradients, *(None for _ in gradients))


def with_gradient(value: Tensor, inputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> Tensor:
    """A scalar that is ``value`` and whose derivatives after ``inputs`` are ``gradients``.

    Args:
        value: Scalar without a graph.
        inputs: What it was computed from.
        gradients: One for each input, of its shape; may be of higher precision.

    Returns:
        The scalar, once differentiable.
    """
    return _WithGradient.apply(value, len(inputs), *inputs, *gradients)
