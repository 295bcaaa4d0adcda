"""File formats by suffix; case is ignored."""

from __future__ import annotations

import os

# Formats that `Network.save` does not write, and what to use instead.
OTHER_FORMATS = {
    ".onnx": "Network.to_onnx and `pybackprop export --to onnx` write ONNX",
    ".c": "Network.to_c and `pybackprop export --to c` write C",
    ".h": "Network.to_c and `pybackprop export --to c` write C",
    ".html": "Network.show and `pybackprop show` write web pages",
    ".pt": "PyTorch reads .safetensors, and Network.to_torch makes a PyTorch model",
    ".pth": "PyTorch reads .safetensors, and Network.to_torch makes a PyTorch model",
}
_ELSE = ".npz is NumPy's format, and .safetensors one that PyTorch and others read"


def format_of(path: str) -> str:
    """Return the format in which a model file is read: safetensors, or npz for any other suffix."""
    return "safetensors" if path.lower().endswith(".safetensors") else "npz"


def format_to_write(path: str, name: str = "path") -> str:
    """Return the format in which a model is written: npz or safetensors.

    A name with no suffix, or a numeric one as in run_0.001, means npz.

    Raises
    ------
    ValueError
        The suffix is that of another format, or unknown, so the file would not be what its name
        says.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".npz", ".safetensors"):
        return suffix[1:]
    if suffix[1:].isdigit() or len(suffix) < 2:
        return "npz"
    hint = OTHER_FORMATS.get(suffix, _ELSE)
    raise ValueError(f"{name} must end in .npz or .safetensors, got {path!r}; {hint}")
