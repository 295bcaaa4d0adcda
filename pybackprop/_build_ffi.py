"""Builds the extension module ``pybackprop._pybackprop_core`` from csrc/ (run by setup.py).

The declarations that Python sees are the marked block of csrc/pybackprop.h, so that the
C compiler checks them against the header that the core itself is compiled with.
"""

import os
import sys
from glob import glob

import cffi

HEADER = os.path.join("csrc", "pybackprop.h")


def cdef_block(path: str) -> str:
    """Return the part of a header between its two cffi marks."""
    with open(path, encoding="utf-8") as header:
        text = header.read()
    begin, end = "/* cffi: begin */", "/* cffi: end */"
    return text[text.index(begin) + len(begin) : text.index(end)]


def compiler_flags(cflags: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return compiler flags, linker flags and libraries for this platform.

    Parameters
    ----------
    cflags
        The builder's CFLAGS, which the compiler gets before the flags returned here. If they ask
        for an optimisation level, debug information or a sanitizer, that request stands.
    """
    if sys.platform == "win32":
        # Without the last flag the compiler refuses <stdatomic.h>; the library has WaitOnAddress.
        return ["/O2", "/std:c11", "/experimental:c11atomics"], [], ["synchronization"]
    compile_args = [
        "-std=c11",
        "-fvisibility=hidden",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
    ]
    if not any(flag.startswith("-O") for flag in cflags):
        compile_args.append("-O3")
    link_args: list[str] = []
    if not any(flag.startswith(("-g", "-fsanitize")) for flag in cflags):
        # The interpreter's own flags ask for debug information, which doubles the module's size;
        # tables for unwinding, which only debuggers read, are another twentieth. Tried for another
        # tenth: gcc without -funswitch-loops, which made small networks up to 9 % slower.
        compile_args += ["-g0", "-fno-asynchronous-unwind-tables"]
        if sys.platform.startswith("linux"):
            link_args.append("-Wl,-s")
    return compile_args, link_args, ["m", "pthread"]


compile_args, link_args, libraries = compiler_flags(os.environ.get("CFLAGS", "").split())
ffibuilder = cffi.FFI()
ffibuilder.cdef(cdef_block(HEADER))
ffibuilder.cdef(
    'extern "Python" int bp_python_loss(void *user, int64_t rows, int64_t n_out,'
    " const void *a, const void *y, void *loss, void *da);"
    'extern "Python" int bp_python_reduce(void *user, int32_t n_blocks, int64_t stride,'
    " void *sums, double *costs);"
)
ffibuilder.set_source(
    "pybackprop._pybackprop_core",
    '#include "pybackprop.h"',
    sources=sorted(glob("csrc/**/*.c", recursive=True)),
    include_dirs=["csrc"],
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    libraries=libraries,
)
