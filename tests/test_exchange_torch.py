"""Networks from PyTorch and scikit-learn, and back."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

HIDDEN = [
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "gelu",
    "silu",
    "mish",
]
RNG = np.random.default_rng(6)
X = RNG.normal(size=(1000, 7))


def network(hidden: str, output: str, dtype: str, scaled: bool) -> bp.Network:
    net = bp.Network(
        [7, 16, 9, 3], activation=hidden, output=output, dtype=dtype, dropout=[0.25, 0], seed=1
    )
    for layer, w in enumerate(net.weights):
        net.set_layer(layer, w, 0.3 * RNG.normal(size=len(w)))
    if scaled:
        net.set_scaling(RNG.normal(size=7), RNG.uniform(0.5, 1.5, 7))
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_torch_and_back(hidden: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    at = HIDDEN.index(hidden)
    for output, scaled in ((["softmax", *HIDDEN][at], True), (hidden, False)):
        net = network(hidden, output, dtype, scaled)
        x = X.astype(dtype)
        y = net.predict(x)
        model = net.to_torch()
        assert not model.training
        given = model(torch.from_numpy(x)).detach().numpy()
        assert given.dtype == dtype
        # Relative to the largest output, as sums that cancel leave the rounding of their terms.
        error = np.abs(given - y).max() / max(1, np.abs(y).max())
        assert error <= (1e-6 if dtype == "float32" else 1e-13)
        back = bp.Network.from_torch(model)
        assert (back.activations, back.dropout, back.dtype) == (net.activations, (0.25, 0), dtype)
        np.testing.assert_array_equal(back.parameters, net.parameters)
        np.testing.assert_array_equal(back.predict(x), y)
        state = bp.Network.from_torch(model.state_dict(), activation=hidden, output=output)
        np.testing.assert_array_equal(state.predict(x), y)
        stream = io.BytesIO()
        torch.save(model.state_dict(), stream)
        stream.seek(0)
        net.to_torch().load_state_dict(torch.load(stream, weights_only=True))


def test_models_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(7, 5, bias=False), nn.Dropout(0.5), nn.ReLU()),
        nn.Linear(5, 4).to(torch.float64).float(),
        nn.Identity(),
        nn.Linear(4, 3),
    )
    model.eval()
    net = bp.Network.from_torch(
        model, output="softmax", loss="cross_entropy", l2=0.1, dropout=0, seed=3
    )
    assert net.activations == ("relu", "identity", "softmax")
    assert (net.loss, net.l2, net.dropout, net.seed) == ("cross_entropy", 0.1, (0, 0), 3)
    x = torch.from_numpy(X.astype(np.float32))
    expected = torch.softmax(model(x), 1).detach().numpy()
    np.testing.assert_allclose(net.predict(x.numpy()), expected, rtol=0, atol=1e-6)
    half = bp.Network.from_torch(nn.Sequential(nn.Linear(7, 2)).to(torch.bfloat16))
    assert half.dtype == np.float32
    assert bp.Network.from_torch(nn.Sequential(nn.Linear(7, 2)).double()).dtype == np.float64


def test_modules_that_no_network_has_are_named() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    for modules, match in (
        ([nn.Linear(2, 2), nn.BatchNorm1d(2)], r"module 1 \(BatchNorm1d"),
        ([nn.Linear(2, 2), nn.LeakyReLU(0.2)], r"module 1 \(LeakyReLU"),
        ([nn.Linear(2, 2), nn.GELU("tanh")], r"module 1 \(GELU"),
        ([nn.Linear(2, 2), nn.Softmax(dim=0)], r"module 1 \(Softmax"),
        ([nn.Linear(2, 2), nn.Tanh(), nn.ReLU()], r"module 2 \(ReLU"),
        ([nn.Linear(2, 2), nn.Dropout(0.1), nn.Tanh()], r"module 2 \(Tanh"),
        ([nn.ReLU(), nn.Linear(2, 2)], r"module 0 \(ReLU"),
        ([nn.Dropout(0.1), nn.Linear(2, 2)], r"module 0 \(Dropout"),
        ([nn.Linear(2, 3), nn.Linear(4, 2)], "layer 1 takes 4 inputs"),
        ([nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)], "softmax"),
        ([], "at least one"),
    ):
        with pytest.raises(ValueError, match=match):
            bp.Network.from_torch(nn.Sequential(*modules))
    with pytest.raises(TypeError, match="state_dict"):
        bp.Network.from_torch(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="activation is for a state_dict"):
        bp.Network.from_torch(nn.Sequential(nn.Linear(2, 2)), activation="tanh")
    with pytest.raises(ValueError, match="the model ends with tanh"):
        bp.Network.from_torch(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), output="softmax")


def test_a_state_dict_of_arrays_needs_no_pytorch() -> None:
    widths = [2] * 12
    state: dict[str, Any] = {}
    for layer in sorted(range(11), key=str):
        state[f"net.{layer}.weight"] = RNG.normal(size=widths[layer : layer + 2])
        state[f"net.{layer}.bias"] = RNG.normal(size=2)
    net = bp.Network.from_torch(state, activation="tanh")
    for layer, w in enumerate(net.weights):
        np.testing.assert_array_equal(w, state[f"net.{layer}.weight"])
    named = OrderedDict(
        {
            "out": np.ones((3, 4), np.float32),
            "first.weight": np.ones((4, 2), np.float32),
            "second.weight": np.ones((3, 4), np.float32),
            "second.bias": np.ones(3, np.float32),
        }
    )
    with pytest.raises(ValueError, match="out of shape"):
        bp.Network.from_torch(named, activation="relu")
    del named["out"]
    net = bp.Network.from_torch(named, activation="relu", output="softmax")
    assert (net.widths, net.dtype) == ((2, 4, 3), np.float32)
    with pytest.raises(ValueError, match="pass activation="):
        bp.Network.from_torch(named)
    for name, value, match in (
        ("first.running_mean", np.ones(4), "running_mean"),
        ("third.bias", np.ones(4), "third.bias belongs to no layer"),
    ):
        with pytest.raises(ValueError, match=match):
            bp.Network.from_torch({**named, name: value}, activation="relu")
    with pytest.raises(TypeError, match="floats"):
        bp.Network.from_torch({"weight": np.ones((2, 2), int)})
    with pytest.raises(TypeError, match=r"nn\.Sequential or a state_dict"):
        bp.Network.from_torch(3)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_estimators_of_scikit_learn(activation: str) -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    from sklearn.datasets import load_breast_cancer, load_iris
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fitted(estimator: Any, x: Any, y: Any) -> Any:
        with pytest.warns(ConvergenceWarning):
            return estimator.fit(x, y)

    def make(kind: Any) -> Any:
        return kind(hidden_layer_sizes=(8, 5), activation=activation, max_iter=3, random_state=0)

    iris, cancer = load_iris(), load_breast_cancer()
    three = fitted(
        make_pipeline(StandardScaler(), make(neural.MLPClassifier)), iris.data, iris.target
    )
    net = bp.Network.from_sklearn(three, seed=1)
    np.testing.assert_allclose(net.predict(iris.data), three.predict_proba(iris.data), atol=1e-12)
    assert (net.loss, net.seed, net.dtype) == ("cross_entropy", 1, np.float64)
    assert net.metadata["class_names"] == ["0", "1", "2"]

    two = fitted(
        make_pipeline(StandardScaler(), make(neural.MLPClassifier)), cancer.data, cancer.target
    )
    net = bp.Network.from_sklearn(two)
    np.testing.assert_allclose(net.predict(cancer.data), two.predict_proba(cancer.data), atol=1e-12)

    x = iris.data
    labels = np.eye(3, dtype=int)[iris.target]
    many = fitted(make(neural.MLPClassifier), x, labels)
    net = bp.Network.from_sklearn(many)
    np.testing.assert_allclose(net.predict(x), many.predict_proba(x), atol=1e-12)
    assert net.loss == "binary_cross_entropy"

    numbers = fitted(make(neural.MLPRegressor), x[:, :3], x[:, 3])
    net = bp.Network.from_sklearn(numbers)
    np.testing.assert_allclose(net.predict(x[:, :3])[:, 0], numbers.predict(x[:, :3]), atol=1e-12)


def test_estimators_that_are_no_networks() -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    with pytest.raises(ValueError, match="not fitted"):
        bp.Network.from_sklearn(neural.MLPRegressor())
    with pytest.raises(TypeError, match="got Ridge"):
        bp.Network.from_sklearn(Ridge())
    with pytest.raises(ValueError, match="minmaxscaler"):
        bp.Network.from_sklearn(make_pipeline(MinMaxScaler(), neural.MLPRegressor()))
    with pytest.raises(TypeError, match="output is that of the estimator"):
        bp.Network.from_sklearn(neural.MLPRegressor(), output="tanh")


def test_a_state_dict_whose_order_is_not_told_is_refused() -> None:
    """Formats that sort names put layer 10 before layer 2."""
    layers = {f"{name}.weight": RNG.normal(size=(2, 2)) for name in ("body.10", "body.2", "head")}
    with pytest.raises(ValueError, match=r"body\.10 comes before body\.2"):
        bp.Network.from_torch(layers, activation="tanh")
    right = {name: layers[name] for name in ("body.2.weight", "body.10.weight", "head.weight")}
    net = bp.Network.from_torch(right, activation="tanh")
    np.testing.assert_array_equal(net.weights[0], layers["body.2.weight"])


def test_a_scaling_after_the_first_layer_is_refused() -> None:
    layers = {"1.weight": np.eye(2), "3.weight": np.eye(2)}
    for at, fits in (("0", True), ("scaling", True), ("2", False), ("norm", False)):
        scaling = {f"{at}.shift": np.ones(2), f"{at}.scale": np.full(2, 2.0)}
        if fits:
            net = bp.Network.from_torch({**layers, **scaling}, activation="tanh")
            np.testing.assert_array_equal(net.scaling, [[1, 1], [2, 2]])
            continue
        with pytest.raises(ValueError, match=rf"{at}\.shift .*come after the first layer"):
            bp.Network.from_torch({**layers, **scaling}, activation="tanh")
    first = {"norm.shift": np.ones(2), "norm.scale": np.ones(2), **layers}
    assert bp.Network.from_torch(first, activation="tanh").scaling is not None


@pytest.mark.parametrize("dtype", [">f8", "<f8", np.longdouble])
def test_arrays_of_eight_bytes_and_more_keep_their_digits(dtype: Any) -> None:
    weight = RNG.normal(size=(2, 3))
    net = bp.Network.from_torch({"weight": weight.astype(dtype)})
    assert net.dtype == np.float64
    np.testing.assert_array_equal(net.weights[0], weight)
