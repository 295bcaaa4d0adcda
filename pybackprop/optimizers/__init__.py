"""The optimizers, with PyTorch's argument names and update rules.

An optimizer object owns its state: vectors as long as the parameters it first updates, and the
number of updates done. It can drive a network (`Network.step`, `Network.fit`) or any flat array
(`Optimizer.update`).
"""

from . import _rules
from ._base import RULES as RULES
from ._base import Optimizer as Optimizer
from ._base import Rates as Rates
from ._base import from_state_dict as from_state_dict
from ._base import restore as restore
from ._base import state_to_save as state_to_save
from ._rules import *  # noqa: F403 - what its __all__ names
from ._rules import as_optimizer as as_optimizer

# What pybackprop exports too; the other names are for its own modules.
__all__ = ["Optimizer"]
__all__ += _rules.__all__

# Pickles name the package, so they stay valid if its modules change.
for _named in (*RULES.values(), Optimizer, from_state_dict, restore):
    _named.__module__ = __name__
