"""What the core takes as the window of a run, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import _core

ROWS, BATCH = 230, 16
X = np.random.default_rng(0).standard_normal((ROWS, 5)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((ROWS, 2)).astype(np.float32)


def test_the_core_refuses_windows_that_are_none() -> None:
    net = bp.Network([X.shape[1], 4, Y.shape[1]])._net

    def data(rows: int) -> _core.Data:
        return _core.Data(X[:rows], Y[:rows])

    fit = _core.Fit(net, data(64), BATCH, False)
    for rows, first_batch in ((60, 0), (64, -1), (64, 11), (54, 10), (16, 15)):
        with pytest.raises(ValueError, match="argument"):
            fit.set_window(data(rows), first_batch, ROWS)
    fit.set_window(data(54), 11, ROWS)
    with pytest.raises(ValueError, match="argument"):
        _core.Fit(net, data(64), BATCH, True).set_window(data(64), 0, ROWS)


def test_runs_side_by_side_must_have_all_rows() -> None:
    """In lanes they would read rows of batches that the window does not hold."""
    lib, ffi = _core.net.lib, _core.net.ffi
    fits = []
    for seed in range(32):
        net = bp.Network([X.shape[1], 4, Y.shape[1]], seed=seed)._net
        fit = _core.Fit(net, _core.Data(X[:64], Y[:64]), BATCH, False)
        fits.append(fit)
    optimizers = [bp.SGD() for _ in fits]
    costs = ffi.new("double[]", len(fits))
    tasks = ffi.new("bp_fit_task[]", len(fits))
    for at, (fit, optimizer) in enumerate(zip(fits, optimizers, strict=True)):
        optimizer._bind(fit.key)
        tasks[at].fit, tasks[at].optimizer = fit._handle, optimizer._state.struct
        tasks[at].epochs, tasks[at].costs = 1, costs + at
    fits[5].set_window(_core.Data(X[64:128], Y[64:128]), 64 // BATCH, ROWS)
    assert lib.bp_fit_run_many(tasks, len(fits), 10**9) == lib.BP_ERR_ARGUMENT
    assert [at for at in range(32) if tasks[at].status] == [5]
    assert all(fit._net.get_counters() == (0, 0) for fit in fits)
    fits[5].set_window(_core.Data(X[:64], Y[:64]), 0, 64)
    assert lib.bp_fit_run_many(tasks, len(fits), 10**9) == 0
    assert {fit._net.get_counters() for fit in fits} == {(64 // BATCH, 1)}
