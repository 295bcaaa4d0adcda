"""The direction of dependencies, in the C core and in the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pybackprop

CSRC = Path(__file__).parent.parent / "csrc"
PACKAGE = Path(pybackprop.__file__).parent

# A subject is a .c file with its headers; it may include what stands in a line above its own.
LAYERS = [
    {"pybackprop"},
    {"cgroup", "clock", "compiler", "fpmode", "once", "place"},
    {"park"},
    {"cpu", "mem", "pool", "rng"},
    {"kernels", "thread_plan", "thread_trial"},
    {"dispatch"},
    {"gemm", "rows"},
    {"bf16"},
    {"internal"},
    {"dense", "loss", "optim"},
    {"pass"},
    {"pass_bf16"},
    {"batch"},
    {"derive", "net", "machine", "single"},
    {"train"},
]
# Files whose subject has another name: pack.c is the lower half of gemm, declared in gemm.h, and
# the buffers of a pass are part of the private structures.
ALIASES = {
    "pack": "gemm",
    "pass_decl": "internal",
    "derive_inputs": "derive",
    "derive_parameters": "derive",
    "derive_team": "derive",
}
# Methods that, when called, hand their object to a module that stands above its own.
METHODS = {
    ("pybackprop.exchange.methods", "pybackprop.exchange.files"),  # save and load
    ("pybackprop.exchange.methods", "pybackprop.exchange.c"),  # to_c
    ("pybackprop.network", "pybackprop.view"),  # show
    ("pybackprop.optimizers", "pybackprop.exchange.files"),  # load
    ("pybackprop.graph.variable", "pybackprop.graph.draw"),  # draw
}
INTRINSIC = re.compile(
    r"""\b_mm(?:256|512)?_(?!pause)\w+ | \b__m(?:128|256|512)\w*\b | \b_tile_\w+
    | \b(?:float|bfloat|int|uint)(?:8|16|32|64)x\d+\w*_t\b | \bv\w+q_[fsu](?:8|16|32|64)\b
    | \#\s*include\s*<(?:\w*mmintrin|immintrin|x86intrin|arm_\w+)\.h>
    | \btarget\s*\(|\bGCC\s+target\b|\b__AVX\w*__\b""",
    re.VERBOSE,
)


def sources() -> list[Path]:
    if not CSRC.is_dir():
        pytest.skip("the sources of the core are not beside the tests")
    return sorted([*CSRC.glob("**/*.c"), *CSRC.glob("**/*.h")])


def is_arch(path: Path) -> bool:
    return path.parent.name == "arch"


def subject(name: str) -> str:
    """gemm.inc.h and gemm_decl.inc.h belong to gemm."""
    stem = name.partition(".")[0]
    return ALIASES.get(stem, stem.removesuffix("_decl"))


def code(path: Path) -> str:
    """The text of a C file without its comments."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', code(path), flags=re.MULTILINE)


def test_core_includes_only_downward() -> None:
    for path in sources():
        if is_arch(path):
            continue
        level = next((i for i, names in enumerate(LAYERS) if subject(path.name) in names), None)
        assert level is not None, f"{path.name} has no place in the layers"
        below = set().union(*LAYERS[:level], {subject(path.name)})
        for name in includes(path):
            assert "/" not in name, f"{path.name} includes {name}"
            assert subject(name) in below, f"{path.name} includes {name}"


def test_arch_sees_only_the_kernel_table() -> None:
    for path in filter(is_arch, sources()):
        for name in includes(path):
            beside = (path.parent / name).is_file() and name.endswith(".inc.h")
            assert beside or name in {"kernels.h", "../kernels.h"}, f"{path.name} includes {name}"


def test_only_dispatch_names_the_instruction_sets() -> None:
    for path in sources():
        if not is_arch(path) and path.name not in {"dispatch.c", "kernels.h"}:
            found = re.findall(r"\bbp_kernels_init_\w+|\bbpk_\w+__\w+", code(path))
            assert not found, f"{path.name} names {found}"


def test_intrinsics_live_only_in_arch() -> None:
    found = {
        f"{path.name}: {hit.group()}"
        for path in sources()
        if not is_arch(path)
        for hit in INTRINSIC.finditer(code(path))
    }
    assert not found


def test_the_patterns_find_what_they_should() -> None:
    for text in (
        "__m512 x = _mm512_max_ps(a, b);",
        "_mm_setzero_ps()",
        "#include <immintrin.h>",
        "float32x4_t v = vaddq_f32(a, b);",
        '__attribute__((target("avx2")))',
        "#ifdef __AVX2__",
        "_tile_zero(0);",
    ):
        assert INTRINSIC.search(text), text
    for text in ("_mm_pause();", "uint32_t x;", "bp_target_count", "#include <cpuid.h>"):
        assert not INTRINSIC.search(text), text


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.glob("**/*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """Dotted names that a module imports anywhere, but not for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(filter(None, [*(parts if node.level else []), node.module]))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() or alias.name == "_pybackprop_core" else base


def test_only_core_touches_cffi() -> None:
    for name, path in modules().items():
        if name in {"pybackprop._core", "pybackprop._build_ffi"}:
            continue
        for found in imports(name, path):
            assert found.partition(".")[0] not in {"cffi", "_cffi_backend"}, name
            assert "_pybackprop_core" not in found, name


@cache
def own(name: str) -> set[str]:
    """The modules of the package that one of them imports."""
    return {found for found in imports(name, modules()[name]) if found.startswith("pybackprop")}


def test_core_imports_nothing_above_it() -> None:
    """Only the extension, and modules that import nothing of the package themselves."""
    assert not own("pybackprop._build_ffi")
    for found in own("pybackprop._core") - {"pybackprop._pybackprop_core"}:
        assert not own(found), f"_core imports {found}"


def test_modules_do_not_import_in_circles() -> None:
    graph = {
        name: {
            found
            for found in own(name) & set(modules())
            if found != name and (name, found) not in METHODS
        }
        for name in modules()
    }
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(modules())
