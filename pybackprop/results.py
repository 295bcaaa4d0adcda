"""What computations return: Gradients, Trace, History, and what a callback is given."""

from .model import Gradients, Trace
from .training.history import EpochEnd, History

__all__ = ["EpochEnd", "Gradients", "History", "Trace"]

# New pickles name this module, as they always did, so that older versions can read them.
for _named in (EpochEnd, Gradients, History, Trace):
    _named.__module__ = __name__
