"""Models as .safetensors files: nothing is lost, PyTorch reads them, no file can harm."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pybackprop as bp

safetensors = pytest.importorskip("safetensors.numpy")

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(50, 4)), RNG.normal(size=(50, 2))


def trained(dtype: str = "float32") -> tuple[bp.Network, bp.Optimizer]:
    net = bp.Network([4, 6, 5, 2], activation=["gelu", "elu"], seed=9, dtype=dtype, dropout=0.2)
    net.set_scaling(X.mean(0), 1 / X.std(0))
    net.metadata = {"class_names": ["eins", "größer"], "x": 0.1}
    optimizer = bp.Adam(lr=bp.schedules.Cosine(0.02, 60))
    net.fit(X, Y, epochs=3, batch_size=7, optimizer=optimizer)
    return net, optimizer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resuming_equals_not_stopping(dtype: str, tmp_path: Path) -> None:
    net, optimizer = trained(dtype)
    path = tmp_path / "model.safetensors"
    net.save(path, optimizer)
    assert os.listdir(tmp_path) == ["model.safetensors"]
    other, state = bp.Network.load(str(path)), bp.Optimizer.load(path)
    assert other._settings() == net._settings()
    assert other.metadata == net.metadata
    for network, each in ((net, optimizer), (other, state)):
        network.fit(X, Y, epochs=2, batch_size=7, optimizer=each)
    np.testing.assert_array_equal(other.parameters, net.parameters)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    assert state.steps == optimizer.steps


def test_tensors_have_plain_names_and_the_file_the_same_bytes(tmp_path: Path) -> None:
    net, _ = trained()
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        net.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tensors = safetensors.load_file(paths[0])
    names = [f"layers.{layer}.{kind}" for layer in range(3) for kind in ("weight", "bias")]
    assert sorted(tensors) == sorted([*names, "scaling.scale", "scaling.shift"])
    for layer, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        np.testing.assert_array_equal(tensors[f"layers.{layer}.weight"], w)
        np.testing.assert_array_equal(tensors[f"layers.{layer}.bias"], b)


def test_pytorch_reads_the_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    net, _ = trained()
    net.set_scaling(None, None)
    net.save(tmp_path / "m.safetensors")
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6),
        torch.nn.GELU(),
        torch.nn.Linear(6, 5),
        torch.nn.ELU(),
        torch.nn.Linear(5, 2),
    )
    state = load_file(tmp_path / "m.safetensors")
    renamed = {
        name.replace(f"layers.{layer}.", f"{2 * layer}."): tensor
        for layer in range(3)
        for name, tensor in state.items()
        if name.startswith(f"layers.{layer}.")
    }
    model.load_state_dict(renamed)
    x = X.astype(np.float32)
    np.testing.assert_allclose(
        model(torch.from_numpy(x)).detach().numpy(), net.predict(x), rtol=0, atol=1e-6
    )


def rewrite(path: Path, change: Any) -> None:
    """Change tensors and header of a file, keeping its form."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["pybackprop"])
    header = change(tensors, header) or header
    path.write_bytes(safetensors.save(tensors, {"pybackprop": json.dumps(header)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, header: tensors.pop("layers.1.bias") is None,
        lambda tensors, header: tensors.update({"layers.0.weight": np.zeros((4, 6), np.float32)}),
        lambda tensors, header: tensors.update({"layers.0.bias": np.zeros(6)}),
        lambda tensors, header: tensors.update({"scaling.shift": np.full(4, np.nan)}),
        lambda tensors, header: header.update(settings=3),
        lambda tensors, header: header["settings"].update(widths=[10**9, 10**9]),
        lambda tensors, header: header["settings"].update(activation="sine"),
        lambda tensors, header: header["settings"].update(surprise=1),
        lambda tensors, header: header.update(format_version=99),
        lambda tensors, header: header.update(steps=-1),
        lambda tensors, header: [1, 2],
    ],
)
def test_a_malformed_model_is_refused(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained()[0].save(path)
    rewrite(path, lambda tensors, header: None)
    bp.Network.load(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match="is not a valid model file"):
        bp.Network.load(path)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(FileNotFoundError):
        bp.Network.load(path)
    safetensors.save_file({"0.weight": np.zeros((2, 2))}, path)
    with pytest.raises(ValueError, match="from_torch"):
        bp.Network.load(path)
    trained()[0].save(path)
    with pytest.raises(ValueError, match="holds no optimizer"):
        bp.Optimizer.load(path)
    with pytest.raises(ValueError, match="loss is a function"):
        bp.Network([1, 1], loss=lambda a, y: (a[:, 0], a)).save(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_is_a_value_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "model.safetensors"
    if not (tmp_path / "good").exists():
        trained()[0].save(path)
        path.rename(tmp_path / "good")
    raw = bytearray((tmp_path / "good").read_bytes())
    kind = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    # Bytes of the parameters themselves may be anything; all before them is structure.
    end = 8 + int.from_bytes(raw[:8], "little")
    at = data.draw(st.integers(0, end - 1))
    if kind == "cut":
        del raw[at:]
    elif kind == "insert":
        raw[at:at] = bytes([data.draw(st.integers(0, 255))])
    else:
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    with contextlib.suppress(ValueError):
        bp.Network.load(path)
