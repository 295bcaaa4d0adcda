"""What modules of PyTorch compute is what the network read from them computes, or is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pybackprop as bp

torch = pytest.importorskip("torch")
nn = torch.nn

X = np.random.default_rng(5).normal(size=(200, 5)).astype(np.float32)


def assert_equal(model: Any, net: bp.Network | None = None) -> bp.Network:
    """The network predicts what the model does in evaluation mode, which reading does not set."""
    modes = [each.training for each in model.modules()]
    read = bp.Network.from_torch(model) if net is None else net
    assert [each.training for each in model.modules()] == modes
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(read.predict(X), expected, rtol=0, atol=2e-6)
    return read


def test_an_activation_used_twice() -> None:
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(5, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 3))
    assert assert_equal(model).activations == ("relu", "relu", "identity")


def test_layers_and_blocks_used_twice() -> None:
    layer, block = nn.Linear(5, 5), nn.Sequential(nn.Linear(5, 5), nn.Tanh())
    net = assert_equal(nn.Sequential(layer, nn.ReLU(), layer, block, block))
    assert net.activations == ("relu", "identity", "tanh", "tanh")


class Sequential(nn.Module):  # type: ignore[misc]
    """Has the name of PyTorch's, and runs backwards."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        for at, module in enumerate(modules):
            self.add_module(str(at), module)

    def forward(self, x: Any) -> Any:
        for module in reversed(list(self.children())):
            x = module(x)
        return x


class Linear(nn.Linear):  # type: ignore[misc]
    """Has the name of PyTorch's, and takes the absolute values of its weights."""

    def forward(self, x: Any) -> Any:
        return nn.functional.linear(x, self.weight.abs(), self.bias)


class Residual(nn.Sequential):  # type: ignore[misc]
    """A Sequential with a way around it."""

    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class Backwards(nn.Sequential):  # type: ignore[misc]
    """A Sequential that hands out its modules in another order."""

    def __iter__(self) -> Any:
        return iter(list(self._modules.values())[::-1])


class ReLU(nn.Module):  # type: ignore[misc]
    """Has the name of PyTorch's, and another function."""

    def forward(self, x: Any) -> Any:
        return x.clamp(min=0) ** 2


class Scaling(nn.Module):  # type: ignore[misc]
    """Has the name of ours, and does the two in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = torch.ones(5), torch.full((5,), 2.0)

    def forward(self, x: Any) -> Any:
        return x * self.scale + self.shift


class Block(nn.Sequential):  # type: ignore[misc]
    """A Sequential that only makes its modules."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(5, 5), nn.Tanh())


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (Sequential(nn.Linear(5, 5), nn.Tanh()), TypeError, "PyTorch's own forward"),
        (Residual(nn.Linear(5, 5)), TypeError, "PyTorch's own forward"),
        (Backwards(nn.Tanh(), nn.Linear(5, 5)), TypeError, "PyTorch's own forward"),
        (nn.Sequential(Linear(5, 5)), ValueError, r"module 0 \(Linear"),
        (nn.Sequential(nn.Linear(5, 5), Residual(nn.Linear(5, 5))), ValueError, r"module 1 \(Resi"),
        (nn.Sequential(nn.Linear(5, 5), ReLU()), ValueError, r"module 1 \(ReLU"),
        (nn.Sequential(Scaling(), nn.Linear(5, 5)), ValueError, r"module 0 \(Scaling"),
        (nn.Sequential(nn.LazyLinear(5)), ValueError, "run one through"),
        (
            nn.Sequential(nn.Linear(5, 5, device="meta")),
            ValueError,
            r"weight of module 0 .*no data",
        ),
        (nn.Sequential(nn.Linear(5, 5, dtype=torch.complex64)), TypeError, "complex64"),
        (nn.Sequential(nn.Flatten(1, 2), nn.Linear(5, 5)), ValueError, r"module 0 \(Flatten"),
    ],
)
def test_what_is_not_the_module_it_is_called_is_refused(model: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        bp.Network.from_torch(model)


def test_a_forward_put_into_a_module_is_refused() -> None:
    for at, match in ((None, "model must be"), (0, "module 0"), (1, "module 1")):
        model = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
        changed = model if at is None else model[at]
        changed.forward = lambda x: 2 * x
        with pytest.raises((TypeError, ValueError), match=match):
            bp.Network.from_torch(model)


def test_a_subclass_that_computes_the_same_is_read() -> None:
    assert assert_equal(nn.Sequential(Block(), Block())).activations == ("tanh", "tanh")


@pytest.mark.parametrize("at", [None, "0", "0.0", "0.1"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_refused(kind: str, at: str | None) -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(5, 5), nn.Tanh()))
    module = model if at is None else model.get_submodule(at)
    hook = getattr(module, kind)(lambda module, x, *y: 2 * x[0])
    match = "model has a forward hook" if at is None else rf"module {at}\b.* has a forward hook"
    with pytest.raises(ValueError, match=match):
        bp.Network.from_torch(model)
    hook.remove()
    assert_equal(model)


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
def test_hooks_of_every_module_are_refused(kind: str) -> None:
    register = getattr(nn.modules.module, f"register_module_{kind}")
    hook = register(lambda module, x, *y: None)
    try:
        with pytest.raises(ValueError, match="every module has a forward hook"):
            bp.Network.from_torch(nn.Sequential(nn.Linear(5, 5)))
    finally:
        hook.remove()


def test_parameters_are_those_that_the_module_computes_with() -> None:
    from torch.nn.utils import parametrizations, prune, weight_norm

    normed = parametrizations.weight_norm(nn.Linear(5, 5))
    with torch.no_grad():
        normed.parametrizations.weight.original0 *= 3
    spectral = parametrizations.spectral_norm(nn.Linear(5, 5))
    model = nn.Sequential(normed, nn.Tanh(), spectral)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert_equal(model)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())

    pruned = nn.Linear(5, 5)
    prune.l1_unstructured(pruned, "weight", amount=0.4)
    prune.random_unstructured(pruned, "weight", amount=0.4)
    prune.l1_unstructured(pruned, "bias", amount=0.4)
    with torch.no_grad():
        # As an optimizer does; `weight` follows only in the next forward pass.
        pruned.weight_orig *= 2
        pruned.bias_orig += 1
    assert_equal(nn.Sequential(pruned))

    with pytest.warns(FutureWarning), pytest.raises(ValueError, match=r"hook.*WeightNorm"):
        bp.Network.from_torch(nn.Sequential(weight_norm(nn.Linear(5, 5))))


def test_dropout_is_kept_whole() -> None:
    model = nn.Sequential(
        nn.Linear(5, 5),
        nn.Dropout(0.5),
        nn.Dropout(0.2),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(5, 2),
    )
    assert assert_equal(model).dropout == (pytest.approx(1 - 0.5 * 0.8 * 0.9),)
    model[1].train()
    with pytest.raises(ValueError, match=r"module 1 \(Dropout.*mode of the model"):
        bp.Network.from_torch(model)
    for kind in (nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Dropout1d):
        with pytest.raises(ValueError, match=rf"module 1 \({kind.__name__}"):
            bp.Network.from_torch(nn.Sequential(nn.Linear(5, 5), kind(0.1), nn.Linear(5, 5)))
    with pytest.raises(ValueError, match="dropout"):
        bp.Network.from_torch(nn.Sequential(nn.Linear(5, 5), nn.Dropout(1.0), nn.Linear(5, 5)))


def test_normalizations_and_quantized_layers_are_named() -> None:
    kinds = [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm, nn.PReLU, nn.ReLU6, nn.LogSoftmax, nn.RReLU]
    for kind in kinds:
        module = kind(5) if kind.__name__.endswith("Norm1d") or "Norm" in kind.__name__ else kind()
        with pytest.raises(ValueError, match=rf"module 1 \({kind.__name__}"):
            bp.Network.from_torch(nn.Sequential(nn.Linear(5, 5), module))
    aware = torch.ao.nn.qat.Linear(5, 5, qconfig=torch.ao.quantization.default_qat_qconfig)
    with pytest.raises(ValueError, match=r"module 0 \(Linear"):
        bp.Network.from_torch(nn.Sequential(aware))


def test_half_precision_and_nan() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        model = nn.Sequential(nn.Linear(5, 5)).to(dtype)
        net = bp.Network.from_torch(model)
        assert net.dtype == np.float32
        np.testing.assert_array_equal(net.weights[0], model[0].weight.detach().float().numpy())
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    assert np.isnan(bp.Network.from_torch(model).predict(X)[:, 0]).all()


def test_tensors_of_a_state_dict_without_float_values_are_named() -> None:
    bias = torch.zeros(2)
    for weight, error, match in (
        (torch.ones(2, 2, dtype=torch.int64), TypeError, "weight: .*int64"),
        (torch.ones(2, 2, dtype=torch.complex64), TypeError, "weight: .*complex64"),
        (torch.ones(2, 2, device="meta"), ValueError, "weight has no values"),
        (torch.ones(2, 2).to_sparse(), ValueError, "weight has no values"),
        (nn.UninitializedParameter(), ValueError, "weight has no values"),
        (np.ones((2, 2), complex), TypeError, "weight: .*complex128"),
        (None, TypeError, "weight: .*object"),
    ):
        with pytest.raises(error, match=match):
            bp.Network.from_torch({"weight": weight, "bias": bias})
    with pytest.raises(TypeError, match="names must be strings"):
        bp.Network.from_torch({0: bias})


def test_losses_follow_the_output() -> None:
    y = np.arange(len(X)) % 3
    model = nn.Sequential(nn.Linear(5, 3), nn.Softmax(1))
    net = bp.Network.from_torch(model, seed=0)
    assert net.loss == "cross_entropy"
    net.fit(X, y)
    logits = bp.Network.from_torch(nn.Sequential(nn.Linear(5, 3)), output="softmax")
    assert logits.loss == "cross_entropy"
    state = bp.Network.from_torch(model[:1].state_dict(), output="sigmoid")
    assert state.loss == "binary_cross_entropy"
    assert bp.Network.from_torch(model[:1]).loss == "mse"
    assert bp.Network.from_torch(model, loss="mse").loss == "mse"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaled", [False, True])
def test_to_torch_can_be_scripted_and_traced(dtype: str, scaled: bool) -> None:
    net = bp.Network([5, 4, 3], activation="gelu", output="softmax", dtype=dtype, seed=1)
    if scaled:
        net.set_scaling(np.arange(5.0), np.arange(1.0, 6.0))
    x = torch.from_numpy(X.astype(dtype))
    for made in (torch.jit.script(net.to_torch()), torch.jit.trace(net.to_torch(), x)):
        np.testing.assert_allclose(made(x).detach().numpy(), net.predict(x.numpy()), atol=1e-6)
