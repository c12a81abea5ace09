"""YOLOR's implicit knowledge: learned vectors that do not depend on the picture (REFERENCE_SPEC 2.7)."""

import torch
from torch import Tensor, nn


class ImplicitA(nn.Module):
    """Add a learned value to each channel: ``x + a`` with ``a ~ N(0, 0.02)`` at the start.

    Shapes:
        (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(self, channels: int, std: float = 0.02) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.normal(0.0, std, (1, channels, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Shift every channel."""
        return x + self.implicit


class ImplicitM(nn.Module):
    """Multiply each channel by a learned value: ``x * m`` with ``m ~ N(1, 0.02)`` at the start.

    Shapes:
        (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(self, channels: int, std: float = 0.02) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.normal(1.0, std, (1, channels, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Scale every channel."""
        return x * self.implicit
