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

    def save(self, path: Any, optimizer: Optimizer | None = None) -> None:
        """Write the network, and the optimizer with its state, to a file.

        Training that goes on from the file gives the same bits as if it had not stopped. The file
        replaces an existing one in one move, and nothing in it is pickled.

        Parameters
        ----------
        path : path-like
            The file, named exactly so. One that ends in .safetensors is of that format, which
            PyTorch and others read: tensors layers.0.weight, layers.0.bias and so on, all else
            in its metadata; it needs the package safetensors. Any other is an .npz file.
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

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is not a model file, or is malformed.
        ModuleNotFoundError
            The format's package is not installed.
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
