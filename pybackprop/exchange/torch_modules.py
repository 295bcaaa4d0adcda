"""The module of PyTorch that its own lack: the scaling of inputs. Imports torch."""

from __future__ import annotations

from typing import Any

import torch


class Scaling(torch.nn.Module):
    """(x - shift) * scale, with buffers that training leaves alone.

    Parameters
    ----------
    shift, scale : Tensor, (n_0,)
        What to subtract, and what to multiply by then.
    """

    shift: Any
    scale: Any

    def __init__(self, shift: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, x: Any) -> Any:
        """Return the scaled inputs, (N, n_0)."""
        return (x - self.shift) * self.scale
