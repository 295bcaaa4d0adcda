"""Comparison with peers and microbenchmarks: ``pybackprop bench``.

Every contender runs in a process of its own and takes turns with the others; see
docs/performance.md.
"""
