"""The module that PyTorch itself lacks: the scaling of inputs. Imports torch."""

from __future__ import annotations

import torch


class Scaling(torch.nn.Module):
    """(x - shift) * scale, with buffers that training leaves alone.

    Parameters
    ----------
    shift, scale : Tensor, (n_0,)
        What to subtract, and what to multiply the difference by.
    """

    # The buffers have no annotations: TorchScript reads them, and cannot read types as strings.

    def __init__(self, shift: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scaled inputs, (N, n_0)."""
        return (x - self.shift) * self.scale
