"""Many networks in one call: seeds, folds, settings, members of an ensemble."""

from ._ensemble import Uncertainty
from ._fit import fit_many
from ._history import EpochsEnd, ManyHistory
from ._networks import Networks

__all__ = ["EpochsEnd", "ManyHistory", "Networks", "Uncertainty", "fit_many"]
