"""What `Network` has to say to other tools: its methods that write and read files of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..settings import Settings

if TYPE_CHECKING:
    from ..network import Network
    from ..optimizers import Optimizer
    from .c import QuantizationLoss


class Exchange(Settings):
    """The part of a network that goes to other tools and comes from them."""

    @property
    def _own(self) -> Network:
        """The network that this is a part of."""
        return cast("Network", self)

    @classmethod
    def _kind(cls) -> type[Network]:
        """Return the class of networks that this is a part of."""
        return cast("type[Network]", cls)

    def save(self, path: Any, optimizer: Optimizer | None = None) -> None:
        """Write the network, and the optimizer with its state, to a file.

        Training that goes on from the file gives the same bits as if it had not stopped. The file
        replaces an existing one in one move, and nothing in it is pickled.

        Parameters
        ----------
        path : path-like
            The file, named exactly so. One that ends in .safetensors is of that format, which
            PyTorch and others read: tensors layers.0.weight, layers.0.bias and so on, all else
            in its metadata; to write it takes the package safetensors. Any other is an .npz file.
        optimizer : Optimizer, optional
            To be had back with `Optimizer.load(path)`.

        Raises
        ------
        ValueError
            The loss, or the optimizer's lr, is a function, which no file can hold.
        OSError
            The file cannot be written.
        ModuleNotFoundError
            The format's package is not installed.
        """
        from .files import save_network

        save_network(path, self._own, optimizer)

    @staticmethod
    def load(path: Any) -> Network:
        """Return the network that `save` wrote; the suffix tells the format.

        The file may come from anyone: nothing in it is executed, and what it claims to hold is held
        against its size before memory is taken for it.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is not a model file, or is malformed; the message says what is wrong.
        """
        from .files import load_network

        return load_network(path)

    def to_c(
        self, path: Any, *, name: str | None = None, weights: str | None = None, data: Any = None
    ) -> QuantizationLoss | None:
        """Write the network as one C99 file that needs nothing but <math.h>.

        It defines void NAME_predict(const float *x, float *y), from n_0 raw inputs to n_L outputs,
        the scaling included; of double for float64. It allocates nothing and keeps no state. The
        same network always gives the same text.

        Parameters
        ----------
        path : path-like
            The file, which is replaced in one move.
        name : str, optional
            NAME, with which everything in the file begins; by default made from the file's name.
        weights : str, optional
            float32, float64 or int8; by default the type of the network. int8 takes a quarter of
            the memory: every row of a weight matrix is rounded to its largest entry times
            -127 … 127, over 127; all else is float32.
        data : (N, n_0) array_like, or tuple (X, y), optional
            Examples on which to measure what int8 weights do to outputs, cost and accuracy.

        Returns
        -------
        QuantizationLoss or None
            What was measured, where data were given; print it to read it.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or a parameter is not finite; no file is touched.
        OSError
            The file cannot be written.
        """
        from . import c

        return c.save_c(self._own, path, name, weights, data)

    # ---- PyTorch and scikit-learn ----

    @classmethod
    def from_torch(
        cls, model: Any, *, activation: Any = None, output: str | None = None, **settings: Any
    ) -> Network:
        """Return a network with the layers and parameters of a model of PyTorch.

        Parameters
        ----------
        model : nn.Sequential or state_dict
            Of dense layers that follow each other. An nn.Sequential may hold nn.Linear, the
            activations that a network can have, nn.Dropout, nn.Identity, a first nn.Flatten, and
            others of its kind. A state_dict, of tensors or arrays, holds weights and biases only;
            layers come in the order of their numbers or, if they differ otherwise, in its own.
        activation : str or sequence of str
            For a state_dict: of the hidden layers, as for `Network`.
        output : str, optional
            Activation of the output layer; by default that of the model, for a state_dict
            identity. Give softmax for a model that ends with logits.
        **settings
            Further arguments of `Network`, such as loss and seed; the type is the model's.

        Raises
        ------
        TypeError, ValueError
            The model has a module or a tensor that a network has not, which is named, or an
            argument is not as described.
        """
        from . import torch

        return torch.from_torch(cls._kind(), model, activation, output, settings)

    def to_torch(self) -> Any:
        """Return an nn.Sequential in evaluation mode with copies of the parameters.

        A scaling becomes its first module. Of a softmax network, leave out the last module to have
        the logits that nn.CrossEntropyLoss takes.

        Raises
        ------
        ModuleNotFoundError
            PyTorch is not installed.
        """
        from . import torch

        return torch.to_torch(self._own)

    @classmethod
    def from_sklearn(cls, estimator: Any, **settings: Any) -> Network:
        """Return a network with the layers of a fitted estimator of scikit-learn.

        Parameters
        ----------
        estimator : MLPClassifier, MLPRegressor or Pipeline
            A Pipeline may have one StandardScaler before the estimator; it becomes the scaling.
        **settings
            Further arguments of `Network`, such as l2 and seed.

        Returns
        -------
        Network
            Whose `predict` gives what predict_proba gives, or predict of a regressor; two classes
            have two outputs. Names of classes and inputs are in its metadata.

        Raises
        ------
        TypeError, ValueError
            The estimator is of another kind, not fitted, or has an activation that a network
            has not.
        """
        from . import sklearn

        return sklearn.from_sklearn(cls._kind(), estimator, settings)

    # ---- ONNX ----

    def to_onnx(self, path: Any) -> None:
        """Write the network as ONNX, of the lowest opset that has its operators.

        The graph takes x, (N, n_0), and gives y, (N, n_L), in the network's type; a scaling is
        part of it. The properties of the file hold all else, names of classes among them.

        Parameters
        ----------
        path : path-like
            The file, which is replaced in one move.

        Raises
        ------
        OSError
            The file cannot be written.
        ModuleNotFoundError
            The package onnx is not installed.
        """
        from . import onnx

        onnx.save_onnx(self._own, path)

    @classmethod
    def from_onnx(cls, path: Any, **settings: Any) -> Network:
        """Return the network in an ONNX file, be it of `to_onnx` or of another exporter.

        Layers are Gemm, or MatMul and Add, with constant weights, and follow each other; what is
        between them must compute an activation that a network can have, in one node or several.
        Sub, Add, Mul and Div before the first layer become the scaling.

        Parameters
        ----------
        path : path-like
            The file.
        **settings
            Further arguments of `Network`, such as loss and seed, in the place of those in the
            file.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is malformed, or has a node that a network has not, which is named.
        ModuleNotFoundError
            The package onnx is not installed.
        """
        from . import onnx

        return onnx.load_onnx(cls._kind(), path, settings)
