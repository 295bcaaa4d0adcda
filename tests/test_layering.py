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

# The folders of the core, and those below each: a file may include what is in its own and in these.
BELOW = {
    "system": [],
    "threads": ["system"],
    "kernels": ["system"],
    "engine": ["system", "threads", "kernels"],
    "api": ["system", "threads", "kernels", "engine"],
}
PUBLIC = "pybackprop.h"
# The units of the element types, their header, and the bodies that they include (*.inc.h).
UNITS = ("engine/f32.c", "engine/f64.c", "engine/engine.h")
# The one arrow that may point up: a Variable draws the graph of variables that it belongs to.
CIRCLE = ("pybackprop.graph._variable", "pybackprop.graph._draw")
# Modules of pybackprop/ itself with an underscore: the door to the C core, and what builds,
# versions and loads the package.
ABOUT_THE_PACKAGE = {
    "pybackprop._build_ffi",
    "pybackprop._core",
    "pybackprop._import_errors",
    "pybackprop._main_interpreter",
    "pybackprop._optional",
    "pybackprop._version",
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


def code(path: Path) -> str:
    """The text of a C file without its comments."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', code(path), flags=re.MULTILINE)


def test_core_includes_only_downward() -> None:
    assert {path.name for path in CSRC.iterdir()} == {PUBLIC, *BELOW}
    for path in filter(lambda path: not is_arch(path), sources()):
        folder = path.relative_to(CSRC).parts[0]
        below = [folder, *BELOW[folder]] if folder != PUBLIC else []
        for name in includes(path):
            assert (CSRC / name).is_file(), f"{path.name} includes {name}, not named from csrc/"
            assert name == PUBLIC or Path(name).parts[0] in below, f"{path.name} includes {name}"


def test_headers_do_not_include_in_circles() -> None:
    """A subject is a .c file with its header, and the units of the element types are one."""

    def subject(name: str) -> str:
        body = name.startswith("engine/") and name.endswith(".inc.h")
        return "units" if body or name in UNITS else name.partition(".")[0]

    graph: dict[str, set[str]] = {}
    for path in filter(lambda path: not is_arch(path), sources()):
        own = subject(path.relative_to(CSRC).as_posix())
        graph.setdefault(own, set()).update(
            subject(name) for name in includes(path) if subject(name) != own
        )
    list(TopologicalSorter(graph).static_order())


def test_bodies_call_only_what_stands_above_them() -> None:
    bodies_of_both = CSRC / "engine" / "bodies.inc.h"
    if not bodies_of_both.is_file():
        pytest.skip("the sources of the core are not beside the tests")
    bodies = [CSRC / name for name in includes(bodies_of_both)]
    made = [
        set(re.findall(r"^static [\w\s*]*?\b(\w+)\([^;{}]*\)\s*\{", code(body), re.MULTILINE))
        for body in bodies
    ]
    for number, body in enumerate(bodies):
        later = set().union(*made[number + 1 :])
        called = set(re.findall(r"\b(\w+)\(", code(body)))
        assert not later & called, f"{body.name} calls {later & called}"


def test_every_source_says_what_it_is() -> None:
    for path in sources():
        assert path.read_text(encoding="utf-8").startswith("/* "), path


def test_arch_sees_only_the_kernel_table() -> None:
    for path in filter(is_arch, sources()):
        for name in includes(path):
            beside = (path.parent / name).is_file() and name.endswith(".inc.h")
            assert beside or name == "kernels/kernels.h", f"{path.name} includes {name}"


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
    """Dotted names that a module imports anywhere: in a function, or for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(filter(None, [*(parts if node.level else []), node.module]))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() or alias.name == "_pybackprop_core" else base


def is_core(name: str) -> bool:
    return name == "pybackprop._core" or name.startswith("pybackprop._core.")


def test_only_core_touches_cffi() -> None:
    for name, path in modules().items():
        if is_core(name) or name == "pybackprop._build_ffi":
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
    for name in filter(is_core, modules()):
        for found in own(name) - {"pybackprop._pybackprop_core"}:
            assert is_core(found) or not own(found), f"{name} imports {found}"


def test_modules_do_not_import_in_circles() -> None:
    """Not when they run, nor for types, which a reader has to follow as well."""
    graph = {name: (own(name) & set(modules())) - {name} for name in modules()}
    below, above = CIRCLE
    assert above in graph[below]
    graph[below].remove(above)
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(modules())


def test_nothing_below_the_page_knows_it() -> None:
    """Network is for users; what it stands on is typed against Model."""
    users = {"pybackprop", "pybackprop.check"}
    packages = ("lessons", "many", "sklearn", "tabular", "tuning")
    above = tuple(f"pybackprop.{package}." for package in packages)
    for name in modules():
        if "pybackprop.network" in own(name):
            assert name in users or name.startswith(above), name


def is_page(package: str) -> bool:
    """Whether the `__init__` of a package holds more than what it says of itself."""
    return len(ast.parse(modules()[package].read_text(encoding="utf-8")).body) > 1


def is_behind_a_page(name: str) -> bool:
    package = name.rpartition(".")[0]
    return package not in {"", "pybackprop"} and is_page(package) and not is_core(package)


def test_what_is_behind_a_page_has_an_underscore() -> None:
    """The rule of CONTRIBUTING on the names of modules."""
    for name in modules():
        if name != "pybackprop.__main__":
            hidden = is_behind_a_page(name) or name in ABOUT_THE_PACKAGE
            assert name.rpartition(".")[2].startswith("_") == hidden, name


def test_nothing_looks_behind_the_page_of_another() -> None:
    for name in modules():
        for found in filter(is_behind_a_page, own(name) & set(modules())):
            package = found.rpartition(".")[0]
            assert name == package or name.startswith(f"{package}."), f"{name} imports {found}"
