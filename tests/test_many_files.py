"""Networks in files: all of them in one, in the formats of single networks, and in ONNX."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import absolute

import pybackprop as bp

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4))
Y = RNG.normal(size=(60, 2))
needs_safetensors = pytest.mark.skipif(
    importlib.util.find_spec("safetensors") is None, reason="needs safetensors"
)
SUFFIXES = ["npz", pytest.param("safetensors", marks=needs_safetensors)]


def networks(**settings: Any) -> bp.Networks:
    """Networks that differ in everything that may differ."""
    nets = bp.Networks(
        [4, 6, 5, 2],
        n=3,
        activation=["tanh", "gelu"],
        dropout=[[0.1, 0.2], [0.3, 0.0], [0.0, 0.0]],
        l1=[0, 1e-3, 0],
        l2=[1e-3, 0, 0],
        seed=[5, 2**64 - 1, 0],
        **settings,
    )
    rates = {"lr_factors": [[1, 2], [0.5, 1], [1, 0]]}
    other = bp.Network(
        [4, 6, 5, 2], activation=["tanh", "gelu"], init="he", seed=1, **rates, **settings
    )
    other.set_scaling(X.mean(0), 1 / X.std(0))
    other.metadata = {"note": "naïve", "list": [1, 2.5, None]}
    nets[1] = other
    nets.fit(X, Y, epochs=2)
    return nets


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("settings", [{}, {"dtype": "float64"}, {"precision": "bf16x2"}])
def test_everything_is_kept(suffix: str, settings: dict[str, Any], tmp_path: Path) -> None:
    nets = networks(**settings)
    path = tmp_path / f"nets.{suffix}"
    nets.save(path)
    assert os.listdir(tmp_path) == [path.name]
    other = bp.Networks.load(path)
    assert repr(other) == repr(nets)
    for one, same in zip(other, nets, strict=True):
        assert one._settings() == same._settings()
        assert one._net.get_counters() == same._net.get_counters() == (4, 2)
        assert one.metadata == same.metadata
        assert (one.scaling is None) == (same.scaling is None)
        for vector, wanted in zip(one.scaling or (), same.scaling or (), strict=True):
            assert np.array_equal(vector, wanted)
    for each in (nets, other):
        each.fit(X, Y, epochs=2)
    assert np.array_equal(other.parameters, nets.parameters)
    assert np.array_equal(other.predict(X), nets.predict(X))


def test_arrays_have_an_axis_for_the_members(tmp_path: Path) -> None:
    nets = bp.Networks([4, 6, 2], n=5, seed=0)
    nets.save(tmp_path / "nets")  # no suffix means npz
    with np.load(tmp_path / "nets") as file:
        assert sorted(file.files) == ["header", "parameters"]
        assert np.array_equal(file["parameters"], nets.parameters)
    nets.set_scaling(RNG.normal(size=(5, 4)), RNG.random(size=(5, 4)))
    nets.save(tmp_path / "nets")
    with np.load(tmp_path / "nets") as file:
        assert file["shift"].shape == file["scale"].shape == (5, 4)


@needs_safetensors
def test_names_are_those_of_stacked_modules(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    nets = bp.Networks([4, 6, 2], n=5, seed=0)
    nets.save(tmp_path / "nets.safetensors")
    tensors = load_file(tmp_path / "nets.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "layers.0.weight": (5, 6, 4),
        "layers.0.bias": (5, 6),
        "layers.1.weight": (5, 2, 6),
        "layers.1.bias": (5, 2),
    }
    for at, net in enumerate(nets):
        assert np.array_equal(tensors["layers.1.weight"][at], net.weights[1])
        assert np.array_equal(tensors["layers.0.bias"][at], net.biases[0])


@needs_safetensors
def test_pytorch_computes_the_same_from_the_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    class Model(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 6), torch.nn.Linear(6, 2)])

        def forward(self, x: Any) -> Any:
            return self.layers[1](torch.tanh(self.layers[0](x)))

    nets = bp.Networks([4, 6, 2], n=5, activation="tanh", seed=0)
    nets.save(tmp_path / "nets.safetensors")
    stacked, _ = torch.func.stack_module_state([Model() for _ in range(5)])
    tensors = load_file(tmp_path / "nets.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tensor.shape for name, tensor in stacked.items()
    }
    model, x = Model(), torch.from_numpy(X.astype(np.float32))
    call = torch.func.vmap(lambda state: torch.func.functional_call(model, state, (x,)))
    np.testing.assert_allclose(call(tensors).detach(), nets.predict(X), rtol=0, atol=2e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_network_and_several_are_told_apart(suffix: str, tmp_path: Path) -> None:
    one, several = tmp_path / f"one.{suffix}", tmp_path / f"several.{suffix}"
    bp.Network([4, 2], seed=0).save(one)
    bp.Networks([4, 2], n=2, seed=0).save(several)
    with pytest.raises(ValueError, match=r"one.*holds one network, which Network\.load reads"):
        bp.Networks.load(one)
    with pytest.raises(ValueError, match=r"several.*several networks, which Networks\.load reads"):
        bp.Network.load(several)
    with pytest.raises(ValueError, match="several networks"):
        bp.Optimizer.load(several)


def test_what_no_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "nets.npz"
    nets = bp.Networks([4, 2], n=2, seed=0)
    nets.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="networks whose loss is a function cannot be saved"):
        bp.Networks([4, 2], n=2, loss=absolute).save(path)
    nets._members[1]._metadata["much"] = ["a" * (1 << 20)] * 9
    with pytest.raises(ValueError, match="8388608"):
        nets.save(path)
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        nets.save(tmp_path / "nets.onnx")
    with pytest.raises(TypeError, match="path must be a path"):
        nets.save(3)
    with pytest.raises(FileNotFoundError):
        bp.Networks.load(tmp_path / "nothing.npz")
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == before


def test_the_metadata_of_all_members_together_are_bounded(tmp_path: Path) -> None:
    nets = bp.Networks([4, 2], n=2, seed=0)
    for at in range(2):
        member = nets[at]
        member.metadata = {"much": "a" * (7 << 20)}
        nets[at] = member
    with pytest.raises(ValueError, match="characters of JSON"):
        nets.save(tmp_path / "nets.npz")
    assert not os.listdir(tmp_path)


# ---- ONNX ----


def by_reference(path: Path, x: Any) -> Any:
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    return evaluator(str(path)).run(None, {"x": x})[0]


def by_runtime(path: Path, x: Any) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(str(path)).run(None, {"x": x})[0]


@pytest.mark.parametrize("evaluate", [by_reference, by_runtime])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "output", "loss"),
    [
        ("relu", "softmax", "cross_entropy"),
        ("tanh", "identity", "mse"),
        ("selu", "sigmoid", "binary_cross_entropy"),
        ("mish", "softmax", "cross_entropy"),
        ("silu", "identity", "huber"),
    ],
)
def test_onnx_computes_the_mean(
    activation: str, output: str, loss: str, dtype: str, evaluate: Any, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "mean.onnx"
    names = {"activation": activation, "output": output, "loss": loss, "dtype": dtype}
    nets = bp.Networks([4, 7, 5, 3], n=6, seed=0, **names)
    tolerance = 3e-6 if dtype == "float32" else 1e-13
    x = X.astype(dtype)
    for weights in (None, [0, 1, 2, 0, 0, 3]):
        nets.to_onnx(path, weights)
        np.testing.assert_allclose(evaluate(path, x), nets.mean(x, weights), rtol=0, atol=tolerance)
    one = nets[1]
    one.set_scaling(X.mean(0), 1 / X.std(0))  # the others have none
    nets[1] = one
    nets.to_onnx(path)
    found = evaluate(path, x[:1])
    assert found.dtype == nets.dtype
    np.testing.assert_allclose(found, nets.mean(x[:1]), rtol=0, atol=tolerance)


def test_onnx_of_one_layer_and_one_member(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    nets = bp.Networks([4, 1], n=1, seed=0)
    nets.to_onnx(tmp_path / "mean.onnx")
    found = by_reference(tmp_path / "mean.onnx", X.astype(np.float32))
    np.testing.assert_allclose(found, nets.mean(X), rtol=0, atol=1e-6)


def test_onnx_leaves_members_without_weight_out(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    nets = bp.Networks([4, 3, 2], n=3, seed=0)
    broken = nets[1]
    broken.parameters = np.full(broken.n_parameters, np.nan)
    nets[1] = broken
    nets.to_onnx(tmp_path / "mean.onnx", [1, 0, 1])
    assert np.isfinite(by_reference(tmp_path / "mean.onnx", X.astype(np.float32))).all()
    with pytest.raises(ValueError, match="weights must be finite and >= 0"):
        nets.to_onnx(tmp_path / "other.onnx", [-1, 0, 1])
    with pytest.raises(ValueError, match=r"weights must have shape \(3,\)"):
        nets.to_onnx(tmp_path / "other.onnx", [1, 0])
    assert os.listdir(tmp_path) == ["mean.onnx"]
    with pytest.raises(ValueError, match="holds no network"):
        bp.Network.from_onnx(tmp_path / "mean.onnx")
