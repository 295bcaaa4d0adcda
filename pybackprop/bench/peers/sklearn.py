"""Tasks of scikit-learn: `partial_fit` over an epoch of batches in order.

Its regressor minimises half the sum of squared errors over the outputs, so its learning rate is
2 / n_L times that for the mean.
"""

from __future__ import annotations

from typing import Any

from ..agreement import Evidence, evidence_of_members, training_evidence
from ..contenders import Task, load
from ..workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Layers,
    Members,
    Training,
    Workload,
    initial_layers,
    scaled,
    training_data,
)

# Models side by side, at most.
_MOST = 128


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task; threads are set by the environment of the process."""
    if not isinstance(workload, Training) or workload.folder is not None:
        raise NotImplementedError("scikit-learn is compared in training steps only")
    if isinstance(workload, Members):
        if workload.n > _MOST:
            raise NotImplementedError(f"more than {_MOST} models would take too long")
        return _Members(workload, threads)
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

    def train(self, steps: int) -> None:
        """Go through some batches in order."""
        rows = steps * self.workload.batch
        self.model.partial_fit(self.x[:rows], self.y[:rows])

    @property
    def layers(self) -> Layers:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [(w.T, b) for w, b in pairs]

    def evidence(self) -> Evidence:
        self.train(self.workload.check_steps)
        return training_evidence(self.workload, self.layers)

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self.model.partial_fit(self.x, self.y)


class _Members:
    """The models shared out over processes by joblib, as GridSearchCV(n_jobs=...) does."""

    compile_seconds = 0.0

    def __init__(self, workload: Members, threads: int | None) -> None:
        self.workload = workload
        self.tasks = [_Training(each) for each in workload.each(range(workload.n))]
        self.unit = workload.n_batches * workload.n
        joblib = load("joblib")
        self.parallel = joblib.Parallel(n_jobs=-1 if threads is None else threads)
        self.call = joblib.delayed(_train)

    def evidence(self) -> Evidence:
        steps = self.workload.check_steps
        self.tasks = self.parallel(self.call(each, 1, steps) for each in self.tasks)
        return evidence_of_members(self.workload, lambda member: self.tasks[member].layers)

    def run(self, repeats: int) -> None:
        steps = self.workload.n_batches
        self.tasks = self.parallel(self.call(each, repeats, steps) for each in self.tasks)


def _train(task: _Training, repeats: int, steps: int) -> _Training:
    """Go through some batches, and return the task, which may have come from another process."""
    for _ in range(repeats):
        task.train(steps)
    return task
