"""The optimizers, with PyTorch's argument names and update rules.

An optimizer object owns its state: vectors as long as the parameters it first updates, and the
number of updates done. It can drive a network (`Network.step`, `Network.fit`) or any flat array
(`Optimizer.update`).
"""

from ._base import LearningRate, Optimizer, from_state_dict, restore, state_to_save
from ._rules import SGD, Adagrad, Adam, AdamW, RMSprop, as_optimizer

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "LearningRate",
    "Optimizer",
    "RMSprop",
    "as_optimizer",
    "from_state_dict",
    "restore",
    "state_to_save",
]

# Pickles name the package, so that they outlive its modules.
for _named in (SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, from_state_dict, restore):
    _named.__module__ = __name__
