"""From PyTorch to ONNX and to C (needs torch, onnx and a compiler called cc).

python torch_to_onnx_to_c.py
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import pybackprop as bp
from pybackprop import datasets


def train(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """Train a model in PyTorch; it ends with logits, as usual there."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def main() -> tuple[float, float]:
    """Go all the way; return the accuracy of the C code and its distance from the network."""
    data = datasets.load("digits").split(0.2, 0)
    x, x_test = ((each / 16).astype(np.float32) for each in (data.x, data.x_test))
    model = train(torch.from_numpy(x), torch.from_numpy(data.y))

    net = bp.Network.from_torch(model, output="softmax", loss="cross_entropy")
    net.metadata = {"class_names": list(data.class_names)}
    print(net)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "digits.c"), Path(folder, "digits.so")
        net.to_onnx(Path(folder, "digits.onnx"))
        net = bp.Network.from_onnx(Path(folder, "digits.onnx"))
        print(net.to_c(source, weights="int8", data=(x_test, data.y_test)))
        net.to_c(source)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
        predict = ctypes.CDLL(str(library)).digits_predict
        y = np.empty((len(x_test), 10), np.float32)
        for row, out in zip(x_test, y, strict=True):
            predict(ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(out.ctypes.data))
    accuracy = float((y.argmax(axis=1) == data.y_test).mean())
    print(f"accuracy of the C code on {len(y)} new digits: {accuracy:.1%}")
    return accuracy, float(np.abs(y - net.predict(x_test)).max())


if __name__ == "__main__":
    main()
