"""An ensemble in one call: five folds, a search, and how sure the networks are.

Reads handwritten digits (they come with the package), searches for settings, trains ten networks
with the best ones side by side, and shows that digits on which they disagree are those they get
wrong.

    python many_networks.py
"""

from __future__ import annotations

import numpy as np

import pybackprop as bp
from pybackprop import datasets


def main() -> tuple[float, float]:
    """Return the accuracy of one network and that of the mean of ten."""
    data = datasets.load("digits").split(0.3, seed=0)

    pattern = bp.Network([64, 64, 10], output="softmax", loss="cross_entropy", seed=0)
    cv = bp.cross_validate(pattern, data.x, data.y, folds=5, epochs=10)
    print(f"five folds: cost {cv.mean:.3f} with a deviation of {cv.std:.3f}\n")

    space = {
        "lr": bp.tuning.log(1e-4, 1e-1),
        "dropout": bp.tuning.uniform(0, 0.5),
        "widths": [[32], [64], [64, 64]],
    }
    found = bp.search(data.x, data.y, space, max_epochs=27, refit=False)
    print(found.table(5), "\n")

    best = found.best_settings
    nets = bp.Networks(
        [64, *best["widths"], 10],
        n=10,
        output="softmax",
        loss="cross_entropy",
        dropout=best["dropout"],
        seed=0,
    )
    nets.set_scaling(*data.scaling())
    nets.fit(data.x, data.y, epochs=27, optimizer=bp.Adam(best["lr"]))

    alone = float((nets.predict(data.x_test, member=0).argmax(1) == data.y_test).mean())
    right = nets.mean(data.x_test).argmax(1) == data.y_test
    unsure = nets.uncertainty(data.x_test).mutual_information
    print(f"accuracy of one network {alone:.2%}, of ten together {right.mean():.2%}")
    print(f"disagreement where right {unsure[right].mean():.4f}, wrong {unsure[~right].mean():.4f}")
    assert np.median(unsure[~right]) > np.median(unsure[right])
    return alone, float(right.mean())


if __name__ == "__main__":
    main()
