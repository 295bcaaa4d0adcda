"""Train with checkpoints: stopped and restarted, this continues from the last one."""

import pybackprop as bp
from pybackprop import datasets

data = datasets.digits()
net = bp.Network([64, 256, 10], output="softmax", loss="cross_entropy", seed=1)
history = net.fit(
    data.x / 16, data.y, epochs=20, checkpoint="run.npz", checkpoint_every="30 s", resume=True
)
print(f"{len(history.cost)} epochs, cost {history.cost[-1]:.3f}")
