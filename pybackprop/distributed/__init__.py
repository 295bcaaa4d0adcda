"""Training by several processes: members of `fit_many`, `cross_validate` and `search`, or one fit.

`over` says where members are trained; its result is the argument `executor` of these functions.
`fit_shards` shares the batches of one network among MPI ranks; `Network.fit` calls it.
Nothing here is imported with `pybackprop`, and mpi4py, Dask and joblib only where they are asked
for.
"""

from typing import Any

from ._over import over, using
from ._shards import fit_shards
from ._shared import in_one_block
from ._workers import Here, Order, Piece, Workers

__all__ = [
    "Here",
    "Order",
    "Piece",
    "Workers",
    "estimate",
    "fit_shards",
    "in_one_block",
    "mpi_info",
    "over",
    "using",
]


def __getattr__(name: str) -> Any:
    if name == "mpi_info":  # whose module needs mpi4py
        from ._measure import mpi_info

        return mpi_info
    if name == "estimate":  # which is rarely asked for
        from ._estimate import estimate

        return estimate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
