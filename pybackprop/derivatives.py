"""Derivatives with respect to a network's inputs and parameters, and for each example."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from ._core import Array
from .inputs import as_inputs, as_targets, as_vector, as_weights
from .settings import Settings


class Derivatives(Settings):
    """The derivatives that a network offers; `Network` is built on it.

    All are exact, computed for all rows at once, and without dropout. Derivatives in the inputs
    are with respect to X as given, before any scaling. At a kink of an activation the derivative
    of one side is used: that of relu at 0 is 0, and so are all second derivatives of relu and
    leaky_relu.
    """

    _net: _core.Net

    def _data(self, X: Any, y: Any, sample_weight: Any = None, where: str = "") -> _core.Data:
        """Check inputs and targets, and make them ready for the core."""
        net = self._net
        try:
            x = as_inputs(X, net.n_in, net.dtype)
            targets = as_targets(y, len(x), net.n_out, self._loss, net.dtype)
            return _core.Data(x, targets, as_weights(sample_weight, len(x)))
        except (TypeError, ValueError) as error:
            if not where:
                raise
            raise type(error)(where + str(error)) from error

    # ---- of the outputs in the inputs ----

    def jacobian(self, X: Any) -> Array:
        """Return the derivatives of the outputs with respect to the inputs.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.

        Returns
        -------
        ndarray, (N, n_L, n_0)
            Entry [i, k, j] is d a_L[i, k] / d X[i, j].

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        RuntimeError
            The network is in use in another thread.

        Notes
        -----
        Computed backward from the outputs or forward from the inputs, whichever takes fewer
        products.
        """
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        out = np.empty((len(x), net.n_out, net.n_in), net.dtype)
        net.by_rows("jacobian", _core.Data(x), (out,), 1 + min(net.n_in, net.n_out))
        return out

    def vjp(self, X: Any, v: Any) -> Array:
        """Return the products of vectors and the Jacobians, v^T da_L/dX, in one backward pass.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.
        v : array_like, (N, n_L)
            A vector for each example.

        Returns
        -------
        ndarray, (N, n_0)
            The gradient of sum over k of v[i, k] a_L[i, k] with respect to X[i].

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.
        """
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        vectors = as_vector(v, "v", (len(x), net.n_out), net.dtype)
        out = np.empty((len(x), net.n_in), net.dtype)
        net.by_rows("vjp", _core.Data(x), (vectors, out), 2)
        return out

    def jvp(self, X: Any, dX: Any) -> tuple[Array, Array]:
        """Return the outputs and their directional derivatives, in one forward pass.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.
        dX : array_like, (N, n_0)
            A direction for each example.

        Returns
        -------
        a : ndarray, (N, n_L)
            The outputs.
        da : ndarray, (N, n_L)
            The products of the Jacobians and the directions.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.
        """
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        directions = as_vector(dX, "dX", (len(x), net.n_in), net.dtype)
        a, da = (np.empty((len(x), net.n_out), net.dtype) for _ in range(2))
        net.by_rows("jvp", _core.Data(x), (directions, a, da), 2)
        return a, da

    def hessian_diagonal(self, X: Any) -> Array:
        """Return the second derivatives of the outputs with respect to each input.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.

        Returns
        -------
        ndarray, (N, n_L, n_0)
            Entry [i, k, j] is d² a_L[i, k] / d X[i, j]².

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.

        Notes
        -----
        Values, first and second derivatives are propagated forward together:
        a'' = act'(z) z'' + act''(z) z'².
        """
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        out = np.empty((len(x), net.n_out, net.n_in), net.dtype)
        net.by_rows("hessian_diagonal", _core.Data(x), (out,), 1 + 2 * net.n_in)
        return out

    def laplacian(self, X: Any) -> Array:
        """Return the Laplacians of the outputs with respect to the inputs.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.

        Returns
        -------
        ndarray, (N, n_L)
            Entry [i, k] is the sum over j of d² a_L[i, k] / d X[i, j]².

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.

        Notes
        -----
        Propagates the sum of the second derivatives instead of each one: Li et al., "A
        computational framework for neural network-based variational Monte Carlo with Forward
        Laplacian", Nature Machine Intelligence 6, 2024.
        """
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        out = np.empty((len(x), net.n_out), net.dtype)
        net.by_rows("laplacian", _core.Data(x), (out,), 2 + net.n_in)
        return out

    # ---- of the cost in the parameters ----

    def hvp(self, X: Any, y: Any, v: Any, sample_weight: Any = None) -> Array:
        """Return the product of the cost's Hessian (in the parameters) and a vector.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`. The second derivatives include the penalties: l2 adds l2 v for weights,
            and l1 adds 0.
        v : array_like, (n_parameters,)
            The vector, in the order of `parameters`.

        Returns
        -------
        ndarray, (n_parameters,)
            H v.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or the loss is a function, whose second derivative is
            not known.
        RuntimeError
            The network is in use in another thread.

        Notes
        -----
        Exact, computed by differentiating the forward and backward passes along v: Pearlmutter,
        "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.
        """
        return self._curvature("hvp", X, y, v, sample_weight)

    def gauss_newton_product(self, X: Any, y: Any, v: Any, sample_weight: Any = None) -> Array:
        """Return the product of the cost's Gauss-Newton matrix (in the parameters) and a vector.

        The matrix is the mean over the examples of J^T H J, plus l2 on weights. H holds the second
        derivatives of the loss with respect to the outputs, and J the derivatives of the outputs
        with respect to the parameters. For cross_entropy and binary_cross_entropy, the
        pre-activations of the output layer take the place of the outputs. Unlike the Hessian it has
        no negative eigenvalues.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`.
        v : array_like, (n_parameters,)
            The vector, in the order of `parameters`.

        Returns
        -------
        ndarray, (n_parameters,)
            G v.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `hvp`.

        Notes
        -----
        Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent",
        Neural Computation 14, 2002.
        """
        return self._curvature("gauss_newton_product", X, y, v, sample_weight)

    def _curvature(self, name: str, X: Any, y: Any, v: Any, sample_weight: Any) -> Array:
        """Return the product of a matrix of second derivatives of the cost and a vector."""
        net = self._net
        if not isinstance(self._loss, str):
            raise ValueError(
                f"{name} needs the second derivative of the loss, which a loss function "
                f"does not give; loss must be one of {', '.join(_core.LOSSES)}"
            )
        data = self._data(X, y, sample_weight)
        vector = as_vector(v, "v", (net.n_parameters,), net.dtype)
        out = np.empty(net.n_parameters, net.dtype)
        net.curvature(name, data, vector, out)
        return out

    # ---- of each example's loss in the parameters ----

    def per_sample_gradients(self, X: Any, y: Any) -> Array:
        """Return the gradient of each example's loss in the parameters, without penalties.

        If there are no penalties or sample weights, their mean is the gradient of `backprop`.

        Parameters
        ----------
        X, y
            As for `cost`.

        Returns
        -------
        ndarray, (N, n_parameters)
            A row for each example, in the order of `parameters`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.
        """
        net = self._net
        data = self._data(X, y)
        out = np.empty((data.rows, net.n_parameters), net.dtype)
        net.by_rows("per_sample_gradients", data, (out,), 3)
        return out

    def per_sample_gradient_norms(self, X: Any, y: Any) -> Array:
        """Return the Euclidean norms of `per_sample_gradients` without forming the gradients.

        Parameters
        ----------
        X, y
            As for `cost`.

        Returns
        -------
        ndarray, (N,)
            A norm for each example.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `jacobian`.

        Notes
        -----
        The square is the sum over layers of ‖delta_l‖² (‖a_(l-1)‖² + 1): Goodfellow, "Efficient
        per-example gradient computations", arXiv:1510.01799, 2015.
        """
        net = self._net
        data = self._data(X, y)
        out = np.empty(data.rows, net.dtype)
        net.by_rows("per_sample_gradient_norms", data, (out,), 2)
        return out
