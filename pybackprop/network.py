"""Networks: dense layers, trained by backpropagation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .model import Model
from .optimizers import Optimizer, state_to_save
from .training.history import History

if TYPE_CHECKING:
    from ._core import Array
    from .exchange.c import QuantizationLoss
    from .graph import Explanation, NetworkGraph
    from .view import Page

__all__ = ["Network"]


class Network(Model):
    """A multilayer perceptron.

    A_0 = X; Z_l = A_(l-1) W_l^T + b_l and A_l = act_l(Z_l) for l = 1 … L. The cost is the mean of
    the loss over the examples (weighted by sample_weight, if given) plus l2 / 2 * sum of W² plus
    l1 * sum of |W|, over weights but not biases.

    Parameters
    ----------
    widths : sequence of int
        n_0, …, n_L: inputs, hidden layers, outputs.
    activation : str or sequence of str
        Activation of the hidden layers, one for all or one for each: identity, sigmoid, tanh, relu,
        leaky_relu, elu, selu, softplus, gelu, silu, mish.
    output : str
        Activation of the output layer; one of the above or softmax.
    loss : str or callable
        mse, squared_error, mae, huber, cross_entropy (needs output="softmax"),
        binary_cross_entropy (needs output="sigmoid"), or a function (a, y) -> (per_example,
        derivative). It takes outputs and targets, both (rows, n_L), and returns the loss of each
        example, (rows,), and its derivative with respect to a, (rows, n_L). It may get the rows of
        a batch in one block or in several.
    init : str
        Initial weights: auto, he, glorot, lecun, orthogonal, zeros; see `pybackprop.initializers`.
    dropout : float or sequence of float
        Dropout rate in [0, 1) after the hidden layers, one for all or one for each; used in `fit`
        and `step`.
    dropout_schedule : Schedule, optional
        Gives a factor from 0 to 1 of all dropout rates for each training step, such as
        ``schedules.FlatCos(1.0, total_steps)``; by default it is 1. The steps are those of the
        network, which count all its updates, whatever the optimizer, and are saved with it;
        schedules of lr and weight_decay count the optimizer's. So a second fit with a new optimizer
        begins these anew, but goes on where the dropout schedule stands, which may be its end:
        assign another ``net.dropout_schedule`` between fits. The network keeps a copy.
    l1, l2 : float
        Penalties.
    label_smoothing : float
        A share s in [0, 1], for cross_entropy only: the targets y, or the 1 of each label, become
        (1 - s) y + s / n_L, as in torch.nn.CrossEntropyLoss (Szegedy et al., Rethinking the
        Inception architecture, CVPR 2016). It is part of the loss: every cost and derivative has
        it, also `cost` and the validation cost of `fit`.
    lr_factors : array_like, (L, 2), optional
        Factors >= 0 of the learning rate: row l - 1 has that of W_l and that of b_l; by default all
        are 1. They act on the whole step of every optimizer, decoupled weight decay included, like
        the learning rate of a parameter group in PyTorch. A layer with factors of 0 keeps its
        parameters; but ``weights[0]`` still changes where `input_scales` are trained: a factor 0 of
        their rate keeps them, too.
    decay_factors, eps_factors : array_like, (L, 2), optional
        The same for the optimizer's weight_decay, where 0 is no decay, and its eps. So AdamW decays
        W_l by lr * f * weight_decay * d * W_l with factors f of lr and d of decay; all other
        optimizers add weight_decay * d * W_l to the gradient. The penalties l1 and l2 are part of
        the cost and have no factors. Where eps is 0, by its factor or its own value, a parameter
        whose gradients have all been 0 gets the step 0 / 0, which is not a number, from every
        optimizer that has an eps; a factor of lr of 0 still leaves that undefined. A network in
        neural tangent parametrisation, z = W a / sqrt(n) + b with n inputs, learns with AdamW,
        without clip_norm, l1 and l2, as this one does from the weights W / sqrt(n) with these
        factors of W_l: 1 / sqrt(n) of lr, sqrt(n) of decay and sqrt(n) of eps; those of b_l are 1.
        For ``Network([4, 8, 1])`` that is ``lr_factors=[[1 / 2, 1], [1 / 8**0.5, 1]]``.
    input_scales : bool
        Whether the inputs have factors s that are trained: Z_1 = (s * X) W_1^T + b_1, with s = 1 at
        first (the scaling layer of RealMLP, NeurIPS 2024). After `set_scaling`, s acts on
        (X - shift) * scale. The factors are part of the weights: ``weights[0]``, `parameters` and
        everything but training have V = W_1 diag(s), also the gradients and the penalties. What the
        optimizer trains is s, W_1, b_1, W_2, …, with derivatives dC/dW_1 = dC/dV diag(s) and
        dC/ds_j = sum over i of dC/dV_ij W_ij; `clip_norm` is about the norm of these.
        `input_scales` of a network returns s.
    input_scale_factors : array_like, (3,), optional
        Factors >= 0 of the learning rate, the weight decay and the eps of s, like those of the
        layers; by default all are 1. RealMLP's is 6 for the rate.
    dtype : str or dtype
        float32 or float64, of parameters and arithmetic.
    precision : str
        How the matrix products of a float32 network are formed. float32 uses the operands as they
        are. bf16 rounds them to bfloat16. bf16x2 and bf16x3 split them into sums of two or three
        bfloat16 numbers, which hold 16 bits and float32's 24. Products are summed in float32.
        Everything else is float32 in every precision: parameters, optimizer state, activations,
        cost, and `jacobian` and the other derivatives except those of `backprop`.
    seed : int or None
        An integer from 0 to 2^64 - 1, which keys the initial weights, shuffling, dropout and
        held-out rows. With None, it is drawn from the operating system's entropy.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    MemoryError
        The parameters do not fit into memory.

    Notes
    -----
    Only one thread at a time may use a network; a second one gets a RuntimeError. Results have the
    same bits for any number of threads, and however training is split into calls, except calls of
    `fit` with `exchange`.
    """

    # ---- training on many batches ----

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: str | Optimizer = "adam",
        validation: Any = None,
        patience: int | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        callbacks: Any = (),
        progress: bool = False,
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
        resume: Any = None,
        shards: int | None = None,
        comm: Any = None,
        exchange: str | None = None,
        timeout: float = 300.0,
        _slice_ns: int | None = None,
    ) -> History:
        """Train on minibatches.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`. float32, float64 and uint8 arrays of any strides are read batch by batch
            and never copied as a whole, so an np.memmap may be larger than memory. The cost of a
            batch is the mean weighted by its sample weights. Instead of both, X can be a
            `pybackprop.datasets.Windows`, which reads files in order and shuffles them in windows.
        epochs : int
            Passes over the data, at least 1.
        batch_size : int
            Rows per update; the last batch of an epoch may have fewer.
        optimizer : str or Optimizer
            The name sgd, adam, adamw, rmsprop or adagrad makes a new optimizer with default
            settings. An Optimizer object keeps its state from one call to the next.
        validation : float or pair of array_like, optional
            Either (Xv, yv), or the fraction of the rows to hold out. The held-out rows are the last
            part of a permutation keyed by the network's seed, the same in every call. With a
            fraction, the rows to train on are copied, in their own dtype.
        patience : int, optional
            Stop after this many epochs in a row without a lower validation cost. At the end, the
            parameters of the epoch with the lowest cost are restored. Needs validation.
        shuffle : bool
            Whether the rows are reordered in every epoch.
        callbacks : callable or sequence of callables
            Each is called after every epoch with an `EpochEnd`. If one returns True, the fit ends.
            If one raises an exception, the fit ends too, and the network stays as it is at that
            point.
        progress : bool
            Show progress on standard error: a tqdm bar if tqdm is installed, otherwise plain lines.
        checkpoint : path-like, optional
            A file to write during the fit and at its end. It holds everything needed to continue.
            Each new file replaces the old one atomically, so there is always a complete one.
            `Network.load` and `Optimizer.load` read it too. With patience it holds the latest
            parameters, not the best.
        checkpoint_every : int or str
            How often: a number of epochs, or a string with a unit, such as "100 steps" (updates),
            "30 s", "5 min", "2 h", "3 epochs".
        resume : path-like or True, optional
            A checkpoint to continue from; True for the one at `checkpoint`, if it exists. The data,
            the settings (except `epochs`) and the network's arguments (including its seed) must be
            those of the run that wrote it. On the same machine, the results then have the same bits
            as in a run that was not stopped, and the history holds the epochs of both runs. The
            network's metadata are replaced by those of the file. A run that was ended by a callback
            continues. A loss, lr, weight_decay or callback that is a function is taken from this
            call. Callbacks are not called again for epochs that have ended, and must keep any state
            of their own themselves.
        shards : int, optional
            Form the gradient of each batch in this many parts, a power of two up to 64, and add
            them up as a balanced binary tree. The results depend on `shards` to rounding, but not
            on how many processes share the work. By default 1, or with `comm` 8, or more if there
            are more ranks. A loss that is a function is called once for each shard.
        comm : mpi4py.MPI.Comm, optional
            Train on the ranks of this communicator. All of them make this call, with the same
            network, data and arguments. Each computes the gradients of some shards; then all do
            the same update. So every rank ends with the same network and history, to the bits of a
            single process with as many shards. Only rank 0 shows progress and writes checkpoints;
            another number of ranks can resume them. Callbacks are called on every rank.
        exchange : str, optional
            "bf16" halves the bytes that ranks send: the gradients of shards, and their sums, are
            rounded to bfloat16. What rounding leaves out is added to the next gradient, and dropped
            at the end of the call, so two calls do not give the bits of one, unless the second
            resumes. The results differ by this rounding, but still have the same bits for any
            number of ranks. Needs float32 and at least 2 shards, and takes memory and room in
            checkpoints for 4 * `shards` bytes per parameter in all. By default, the network's own
            type is sent.
        timeout : float
            How many seconds a rank waits for another one.

        Returns
        -------
        History
            The figures of every epoch.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described; nothing has been changed. Or the ranks differ in their
            network, data, settings, version or instruction set. Or a callback has replaced the
            optimizer's lr or weight_decay with a function, which the next checkpoint cannot hold.
        FloatingPointError
            The cost, or the parameters at the end of an epoch, stopped being finite. The message
            names the epoch and batch, and a likely cause with what to change, as found by
            `gradient_flow`. The parameters are those after the last finite epoch, and the optimizer
            starts afresh.
        KeyboardInterrupt
            Ctrl-C; the network is left as after a complete batch.
        OSError
            A checkpoint cannot be read or written. The previous file is intact, and the network is
            left as after a complete batch.
        RuntimeError
            The network or the optimizer is in use in another call. Or another rank has failed, as
            the message says; the network is left as after a complete batch.
        TimeoutError
            Another rank has not answered in time.
        """
        given = locals()
        if shards is None and comm is None and exchange is None:
            from .training.loop import fit

            return fit(self, given)
        from .distributed import fit_shards

        return fit_shards(self, given)

    def fit_stream(
        self,
        batches: Any,
        *,
        optimizer: str | Optimizer = "adam",
        epochs: int = 1,
        steps: int | None = None,
        validation: Any = None,
        callbacks: Any = (),
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
        resume: Any = None,
    ) -> History:
        """Train on batches that arrive one by one; only one is in memory at a time.

        Parameters
        ----------
        batches : iterable, or function that returns one
            Yields (X, y) or (X, y, sample_weight); each batch is one update, as in `step`. An
            iterator, such as a generator, can be used only once.
        optimizer
            As for `fit`.
        epochs : int
            How many times to go through the batches.
        steps : int, optional
            Makes an epoch this many batches of a stream. The stream may be endless and continues
            from one epoch to the next; the fit ends when the stream ends.
        validation : pair of array_like, optional
            (Xv, yv).
        callbacks, checkpoint, checkpoint_every
            As for `fit`.
        resume
            As for `fit`. Batches that were already trained on are drawn from the stream again,
            compared by checksum and skipped. Training continues with the batches that would have
            come next.

        Returns
        -------
        History
            The figures of every epoch; costs are means over the rows.

        Raises
        ------
        TypeError, ValueError
            An argument or a batch is not as described. The message names the batch; the updates
            before it remain.
        FloatingPointError
            The cost of a batch is not finite. The message names the batch; the updates before it
            remain.
        OSError
            A checkpoint cannot be read or written; the updates before it remain.
        """
        from .training.stream import fit_stream

        return fit_stream(self, locals())

    # ---- files ----

    def save(self, path: Any, optimizer: Optimizer | None = None) -> None:
        """Write the network, and the optimizer with its state, to a file.

        Training that continues from the file gives the same bits as if it had not stopped. An
        existing file is replaced atomically, and nothing in the file is pickled.

        Parameters
        ----------
        path : path-like
            The file, with exactly this name. If the name ends in .safetensors, the file has that
            format, which PyTorch and others read: it holds tensors layers.0.weight, layers.0.bias
            and so on, and everything else in its metadata. Writing it needs the package
            safetensors. If the name ends in .npz, or has no suffix, it is an .npz file. Other
            suffixes are refused.
        optimizer : Optimizer, optional
            Saved with the network; `Optimizer.load(path)` reads it back.

        Raises
        ------
        TypeError, ValueError
            `path` is not a path, or has another format's suffix. Or the loss, or the optimizer's lr
            or weight_decay, is a function, which no file can hold.
        OSError
            The file cannot be written.
        ModuleNotFoundError
            The format's package is not installed.
        """
        from .exchange.networks import save_network

        save_network(path, self, None if optimizer is None else partial(state_to_save, optimizer))

    @staticmethod
    def load(path: Any) -> Network:
        """Return the network that `save` wrote; the suffix determines the format.

        The file need not be trusted: nothing in it is executed, and the sizes it claims are checked
        against its actual size before memory is allocated.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is not a model file, or is malformed; the message says what is wrong.
        """
        from .exchange.networks import load_network

        return load_network(Network, path)

    def to_c(
        self, path: Any, *, name: str | None = None, weights: str | None = None, data: Any = None
    ) -> QuantizationLoss | None:
        """Write the network as one C99 file that needs nothing but <math.h>.

        It defines void NAME_predict(const float *x, float *y), which computes n_L outputs from n_0
        raw inputs, including the scaling; for float64 the arguments are double. It allocates
        nothing and keeps no state. The same network always gives the same text.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced atomically.
        name : str, optional
            NAME, the prefix of all names in the file; by default made from the file's name.
        weights : str, optional
            float32, float64 or int8; by default the type of the network. int8 takes a quarter of
            the memory: each row of a weight matrix is rounded to multiples, -127 … 127, of its
            largest entry over 127; everything else is float32.
        data : (N, n_0) array_like, or tuple (X, y), optional
            Examples on which to measure what int8 weights do to outputs, cost and accuracy.

        Returns
        -------
        QuantizationLoss or None
            What was measured, if data were given; print it to read it.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or a parameter is not finite; no file is touched.
        OSError
            The file cannot be written.
        """
        from .exchange import c

        return c.save_c(self.copy(), path, name, weights, data)

    # ---- PyTorch and scikit-learn ----

    @classmethod
    def from_torch(
        cls, model: Any, *, activation: Any = None, output: str | None = None, **settings: Any
    ) -> Network:
        """Return a network with the layers and parameters of a PyTorch model.

        It predicts what the model computes in evaluation mode; dropout acts only in training. A
        module that is used several times becomes several layers, which start with equal parameters.

        Parameters
        ----------
        model : nn.Sequential or state_dict
            A chain of dense layers. An nn.Sequential may contain nn.Linear, the activations that a
            network can have, nn.Dropout, nn.Identity, nn.Flatten as the first module, and nested
            nn.Sequential. Subclasses are accepted unless they define their own forward; modules
            with forward hooks are refused. Parameters are read as the modules use them, after
            pruning or parametrization. A state_dict, of tensors or arrays, holds only weights and
            biases. Its layers are ordered by number if their names differ only in numbers,
            otherwise as in the dict.
        activation : str or sequence of str
            For a state_dict: activation of the hidden layers, as for `Network`.
        output : str, optional
            Activation of the output layer; by default that of the model, or identity for a
            state_dict. Pass softmax for a model that ends with logits.
        **settings
            Further arguments of `Network`, such as l2 and seed; the type is the model's. The
            default loss is cross_entropy if output is softmax, binary_cross_entropy if it is
            sigmoid, and mse otherwise.

        Raises
        ------
        TypeError, ValueError
            The model has a module, a hook or a tensor that a network cannot express (the message
            names it), or an argument is not as described.
        """
        from .exchange import torch

        return torch.from_torch(cls, model, activation, output, settings)

    def to_torch(self) -> Any:
        """Return an nn.Sequential in evaluation mode with copies of the parameters.

        A scaling becomes the first module. For a softmax network, leave out the last module to get
        the logits that nn.CrossEntropyLoss takes.

        Raises
        ------
        ModuleNotFoundError
            PyTorch is not installed.
        """
        from .exchange import torch

        return torch.to_torch(self.copy())

    @classmethod
    def from_sklearn(cls, estimator: Any, **settings: Any) -> Network:
        """Return a network with the layers of a fitted scikit-learn estimator.

        Parameters
        ----------
        estimator : MLPClassifier, MLPRegressor or Pipeline
            From scikit-learn or `pybackprop.sklearn`, or of a subclass that computes the same. A
            Pipeline may have one StandardScaler before the estimator, which becomes the scaling.
            Steps that are "passthrough" are ignored.
        **settings
            Further arguments of `Network`, such as l2 and seed. The default loss is cross_entropy
            if the output is softmax, binary_cross_entropy if it is sigmoid, and mse otherwise.

        Returns
        -------
        Network
            Its `predict` returns what the estimator's predict_proba returns, or predict for a
            regressor; two classes have two outputs. Its metadata hold the class names, and the
            input names if the estimator or the Pipeline was fitted on a DataFrame.

        Raises
        ------
        TypeError, ValueError
            The estimator is of another kind, is not fitted, or has an activation that `Network`
            lacks, such as the exp of loss="poisson". Or the Pipeline has a step that is not
            supported, which the message names.
        """
        from .exchange import sklearn

        return sklearn.from_sklearn(cls, estimator, settings)

    # ---- ONNX ----

    def to_onnx(self, path: Any) -> None:
        """Write the network as ONNX, with the lowest opset that has its operators.

        The graph maps x, (N, n_0), to y, (N, n_L), in the network's type, and includes the scaling.
        The file's properties hold everything else, such as class names. In float64, activations are
        built from operators that ONNX Runtime has in that type. It has none for gelu, so it cannot
        run float64 networks with gelu.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced atomically.

        Raises
        ------
        OSError
            The file cannot be written.
        ModuleNotFoundError
            The package onnx is not installed.
        """
        from .exchange import onnx

        onnx.save_onnx(self.copy(), path)

    @classmethod
    def from_onnx(cls, path: Any, **settings: Any) -> Network:
        """Return the network in an ONNX file written by `to_onnx` or another exporter.

        Layers must be Gemm, or MatMul and Add, with constant weights, and form a chain. The nodes
        between two layers, one or several, must compute an activation that a network can have. Sub,
        Add, Mul and Div before the first layer become the scaling. Constants must be the same for
        every input row. Casts between floating-point types are ignored.

        Parameters
        ----------
        path : path-like
            The file.
        **settings
            Further arguments of `Network`, such as loss and seed, which replace those in the file.
            If the file has none, the loss is cross_entropy if the output is softmax,
            binary_cross_entropy if it is sigmoid, and mse otherwise.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is malformed, has a node that a network cannot express (the message names it), or
            is of an opset before 7.
        ModuleNotFoundError
            The package onnx is not installed.
        """
        from .exchange import onnx

        return onnx.load_onnx(cls, path, settings)

    # ---- seeing it ----

    def show(
        self,
        X: Any,
        y: Any,
        path: Any = None,
        *,
        examples: int = 8,
        neurons: int = 12,
        image_shape: tuple[int, int] | None = None,
        title: str | None = None,
    ) -> Page | None:
        """Make a web page for following the network layer by layer and for training it.

        The page is one HTML file. It shows the network, every value of the forward pass and every
        derivative of the backward pass, and the formula of each step. Weights and inputs can be
        changed, and networks can be trained in the page. It loads nothing else. See
        `pybackprop.view.make_page`.

        Parameters
        ----------
        X, y
            As for `cost`; the cost on the page is that of a single example.
        path : path-like, optional
            The file; an existing one is replaced atomically. Without a path the page is returned; a
            notebook shows it in place.
        examples : int
            How many rows of X, starting with the first, the page offers.
        neurons : int
            How many neurons of a layer are drawn at most; of a wider layer, evenly spaced ones.
        image_shape : (int, int), optional
            Height and width for showing the inputs as a greyscale picture, to tell examples apart.
        title : str, optional
            What the page is about, such as the name of the data.

        Returns
        -------
        pybackprop.view.Page or None
            The page, whose `save` writes it to a file; None if `path` is given.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import pybackprop as bp
        >>> net = bp.Network([2, 3, 1], seed=0)
        >>> page = net.show([[1.0, 2.0]], [[1.0]])
        >>> page.html.startswith("<!DOCTYPE html>")
        True
        """
        from .view import Page, make_page

        html = make_page(
            self,
            X,
            y,
            examples=examples,
            neurons=neurons,
            image_shape=image_shape,
            title=title,
        )
        page = Page(html, repr(self))
        if path is None:
            return page
        page.save(path)
        return None

    # ---- explaining it ----

    def graph(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkGraph:
        """Return the cost of a batch as a computational graph, on which `backward` has run.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`.

        Returns
        -------
        pybackprop.graph.NetworkGraph
            Its `cost`, `weights`, `z` and so on are Variables, whose `value` and `grad` are
            float64 whatever the type of the network; ``graph.cost.to_svg()`` draws it.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.

        Examples
        --------
        >>> import pybackprop as bp
        >>> net = bp.Network([2, 3, 1], loss="squared_error", dtype="float64", seed=0)
        >>> graph = net.graph([[1.0, 2.0]], [[1.0]])
        >>> [W.name for W in graph.weights], graph.weights[0].grad.shape
        (['W1', 'W2'], (3, 2))
        >>> bool(abs(graph.cost.value - net.cost([[1.0, 2.0]], [[1.0]])) < 1e-12)
        True
        """
        from .graph import from_network

        self._data(X, y, sample_weight)
        return from_network(self, X, y, sample_weight)

    def explain(
        self,
        X: Any,
        y: Any,
        layer: int,
        i: int,
        j: int | None = None,
        *,
        sample_weight: Any = None,
        max_paths: int = 8,
    ) -> Explanation:
        """Print the chain rule for the cost's derivative in one weight or bias, path by path.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`.
        layer : int
            0 … L - 1, as in ``weights[layer]``, which is called W1 if `layer` is 0.
        i : int
            The neuron, a row of ``weights[layer]``.
        j : int or None
            The neuron below, a column; None for the bias ``biases[layer][i]``.
        max_paths : int
            How many paths to follow, at most 10,000. Their total number is the product of N and the
            widths above `layer`, one for each way through the neurons. All are counted, and their
            sum is computed without following each one.

        Returns
        -------
        pybackprop.graph.Explanation
            What was printed, as numbers and names; all numbers are float64.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.

        Examples
        --------
        >>> import pybackprop as bp
        >>> net = bp.Network([1, 1], output="tanh", loss="squared_error", dtype="float64")
        >>> net.set_layer(0, [[0.5]], [0.0])
        >>> found = net.explain([[1.0]], [[1.0]], 0, 0, 0)
        C = (a1[0] - y[0])**2 = 0.289318
        a1[0] = tanh(z1[0]) = 0.462117
        z1[0] = W1[0, 0]*x[0] + b1[0] = 0.5
        <BLANKLINE>
        1 path from C to W1[0, 0]
        <BLANKLINE>
        path 1: C -> a1[0] -> z1[0] -> W1[0, 0]
            dC/da1[0] = 2*(a1[0] - y[0]) = -1.07577
            da1[0]/dz1[0] = 1 - a1[0]**2 = 0.786448
            dz1[0]/dW1[0, 0] = x[0] = 1
            product: -1.07577 * 0.786448 * 1 = -0.846033
        <BLANKLINE>
        dC/dW1[0, 0] = -0.846033
        """
        from .graph import explain_weight

        self._data(X, y, sample_weight)
        return explain_weight(
            self, X, y, layer, i, j, sample_weight=sample_weight, max_paths=max_paths
        )

    def layer_jacobians(self, X: Any) -> list[Array]:
        """Return the Jacobian of every layer; their product is that of the network.

        J_l = diag(act_l'(z_l)) W_l holds the derivatives of the outputs of layer l with respect to
        its inputs. By the chain rule, J_L … J_2 J_1 is the `jacobian` of the network.
        Backpropagation multiplies by their transposes, from the last to the first.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs, N >= 1.

        Returns
        -------
        list of ndarray, (N, n_l, n_(l-1)), l = 1 … L
            Entry [k, i, j] of the array of layer l is d a_l[k, i] / d a_(l-1)[k, j]. For the first
            layer, the derivatives are with respect to X as given, before any scaling.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or the arrays for this many rows would take more than 2
            GiB; the message says how many rows are possible at once.

        Examples
        --------
        >>> import numpy as np
        >>> import pybackprop as bp
        >>> net = bp.Network([3, 5, 4, 2], activation="tanh", dtype="float64", seed=0)
        >>> X = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]])
        >>> J1, J2, J3 = net.layer_jacobians(X)
        >>> J1.shape, J2.shape, J3.shape
        ((2, 5, 3), (2, 4, 5), (2, 2, 4))
        >>> np.allclose(J3 @ J2 @ J1, net.jacobian(X), rtol=1e-12, atol=0)
        True
        """
        from .jacobians import layer_jacobians

        return layer_jacobians(self, X)

    # ---- copies: always of class Network, because a subclass may take other arguments ----

    @staticmethod
    def _restore(*state: Any) -> Network:
        """Return a network in a state that was kept; pickles name this function."""
        return Network._from_state(*state)

    def __reduce__(self) -> tuple[Any, ...]:
        return Network._restore, self._state()

    def copy(self) -> Network:
        """Return an independent network in the same state."""
        restore, state = self.__reduce__()
        network: Network = restore(*state)
        return network

    def __copy__(self) -> Network:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self.copy()
