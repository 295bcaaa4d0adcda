"""Tasks of scikit-learn: `partial_fit` over an epoch of batches in order.

Its regressor minimises half the sum of squared errors over the outputs, so its learning rate is
2 / n_L times that for the mean.
"""

from __future__ import annotations

from typing import Any

from ..agreement import Evidence, training_evidence
from ..contenders import Task, load
from ..workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Layers,
    Training,
    Workload,
    initial_layers,
    scaled,
    training_data,
)


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task; threads are set by the environment of the process."""
    if not isinstance(workload, Training) or workload.folder is not None:
        raise NotImplementedError("scikit-learn is compared in training steps only")
    return _Training(workload)


class _Training:
    compile_seconds = 0.0

    def __init__(self, workload: Training) -> None:
        self.workload = workload
        x, self.y = training_data(workload)
        self.x = scaled(x)
        if self.y.ndim == 2 and self.y.shape[1] == 1:
            self.y = self.y.ravel()
        self.unit = -(-len(x) // workload.batch)
        self.options: dict[str, Any] = {}
        self.model = self._make_model()

    def _make_model(self) -> Any:
        """Return a model with the workload's initial weights and an optimizer at rest."""
        workload, networks = self.workload, load("sklearn.neural_network")
        regression = workload.loss == "mse"
        model = (networks.MLPRegressor if regression else networks.MLPClassifier)(
            hidden_layer_sizes=workload.widths[1:-1],
            activation=workload.activation,
            solver=workload.optimizer,
            alpha=0.0,
            batch_size=workload.batch,
            learning_rate_init=workload.lr * (2.0 / workload.widths[-1] if regression else 1.0),
            shuffle=False,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            beta_1=ADAM_BETAS[0],
            beta_2=ADAM_BETAS[1],
            epsilon=ADAM_EPS,
        )
        if not regression:
            self.options["classes"] = range(workload.widths[-1])
        model.partial_fit(self.x[: workload.batch], self.y[: workload.batch], **self.options)
        for index, (w, b) in enumerate(initial_layers(workload)):
            model.coefs_[index][...] = w.T
            model.intercepts_[index][...] = b
        # The optimizer has done a step; one made anew would be made only with new weights.
        for name in ("velocities", "ms", "vs"):
            for array in getattr(model._optimizer, name, ()):
                array[...] = 0.0
        if workload.optimizer == "adam":
            model._optimizer.t = 0
        return model

    def evidence(self) -> Evidence:
        rows = self.workload.check_steps * self.workload.batch
        self.model.partial_fit(self.x[:rows], self.y[:rows])
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        layers: Layers = [(w.T, b) for w, b in pairs]
        return training_evidence(self.workload, layers)

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self.model.partial_fit(self.x, self.y)
