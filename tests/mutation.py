"""Seed bugs one by one, and see that the tests named for each of them fail.

    python tests/mutation.py                 every bug of mutation_*.py
    python tests/mutation.py --list          what they are
    python tests/mutation.py --only ID…      some of them
    python tests/mutation.py --jobs 4        so many at a time

The core must have been built in place (python setup.py build_ext --inplace).

Works on copies of the tree in a temporary folder, in which the C core is built with -O1. What a bug
does not touch is not compiled again. Ends with status 1 unless every bug is killed: by a failing
test, a crash, or a test that does not end. A bug is not applicable where this machine skips all of
its tests. Needs a C compiler with the options of gcc.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import importlib.util
import io
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from mutation_bugs import Bug
from mutation_core import CORE
from mutation_distributed import DISTRIBUTED
from mutation_lanes import LANES
from mutation_many import MANY
from mutation_package import PACKAGE
from mutation_training import TRAINING

BUGS = [*CORE, *TRAINING, *LANES, *MANY, *PACKAGE, *DISTRIBUTED]
ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git", "build", "__pycache__", ".venv", "*.egg-info", ".*_cache", "*.o"
)
KILLED, SURVIVED, BROKEN, NOT_APPLICABLE = "killed", "SURVIVED", "BROKEN", "not applicable"
OPTIMIZATION = "-O1"


class Broken(Exception):
    """A bug that cannot be tried: its text is not there once, or does not compile."""


def run(command: Sequence[str], folder: Path, timeout: float) -> tuple[int | None, str]:
    """Return the status and the output of a command; None for one that does not end in time."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    # Not into a pipe: processes that a failing test has left would keep it open.
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out.seek(0)
        return status, out.read()


# ---- the C core ----


class Core:
    """The C core of a tree, compiled unit by unit; objects are those of the tree without a bug."""

    def __init__(self, tree: Path, objects: Path, optimization: str = OPTIMIZATION) -> None:
        specification = importlib.util.spec_from_file_location(
            "_build_ffi", next(tree.glob("pybackprop/**/_build_ffi.py"))
        )
        assert specification is not None
        assert specification.loader is not None
        build = importlib.util.module_from_spec(specification)
        before = os.getcwd()
        os.chdir(tree)  # the script names its files from there
        try:
            specification.loader.exec_module(build)
            with contextlib.redirect_stdout(io.StringIO()):  # which names the file it writes
                module = build.ffibuilder.distutils_extension(str(objects), verbose=False)
        finally:
            os.chdir(before)
        flags = [flag for flag in module.extra_compile_args if not flag.startswith("-O")]
        include = sysconfig.get_path("include")
        folders = ["-I" + folder for folder in (include, *module.include_dirs)]
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
        self.compile = [*compiler, "-fPIC", *flags, optimization, "-w", *folders, "-MMD"]
        libraries = ["-l" + library for library in module.libraries]
        self.link = [*compiler, "-shared", *module.extra_link_args], libraries
        self.units = module.sources
        self.tree, self.objects = tree, objects
        self.used: dict[str, set[str]] = {}

    def object_of(self, unit: str) -> Path:
        return self.objects / (re.sub(r"\W", "_", os.path.relpath(unit, self.tree)) + ".o")

    def build(self, unit: str, tree: Path, target: Path) -> None:
        status, out = run([*self.compile, "-c", unit, "-o", str(target)], tree, 600)
        if status != 0:
            raise Broken(f"{unit} does not compile: {out.strip()[-500:]}")

    def build_all(self, jobs: int) -> None:
        """Compile every unit, and note what each is made from."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as workers:
            list(workers.map(lambda u: self.build(u, self.tree, self.object_of(u)), self.units))
        for unit in self.units:
            rule = self.object_of(unit).with_suffix(".d").read_text().replace("\\\n", " ")
            self.used[unit] = set(rule.partition(":")[2].split())

    def install(self, tree: Path, changed: Collection[str], available: set[str]) -> None:
        """Put the module into a tree, with the units compiled anew that use a changed file.

        Kernels of other instruction sets than those of this machine are hardly ever called.
        """
        objects = []
        for unit in self.units:
            path = self.object_of(unit)
            isa = re.search(r"kern_([a-z0-9]+)", unit)
            runs = isa is None or isa[1] in available
            if not self.used.get(unit, set()).isdisjoint(changed) and runs:
                path = tree / path.name
                self.build(unit, tree, path)
            objects.append(str(path))
        (link, libraries), module = self.link, next(tree.glob("pybackprop/**/*_core*.so"))
        status, out = run([*link, *objects, *libraries, "-o", str(module)], tree, 100)
        if status != 0:
            raise Broken(f"does not link: {out.strip()[-500:]}")


def available_kernels(tree: Path) -> set[str]:
    """Return the instruction sets that this machine has; the portable one where it is alone."""
    program = "import pybackprop; print(*pybackprop.cpu_info()['available'])"
    status, out = run([sys.executable, "-c", program], tree, 60)
    if status != 0:
        raise SystemExit(f"the tree cannot be imported:\n{out}")
    found = set(out.split())
    return found - {"portable"} or found


# ---- trying a bug ----


class Edit(Protocol):
    """A text that occurs once in a file, and another in its place."""

    @property
    def file(self) -> str: ...
    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...


def seed(tree: Path, bug: Edit) -> None:
    """Put a bug, or another edit, into a tree."""
    path = tree / bug.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.count(bug.old) != 1:
        raise Broken(f"its text is {text.count(bug.old)} times in {bug.file}")
    path.write_text(text.replace(bug.old, bug.new), encoding="utf-8")


def verdict(status: int | None, out: str) -> tuple[str, str]:
    """Return what became of a bug from how its tests ended, and by what."""
    if status is None:
        return KILLED, "no end"
    failed = re.search(r"^FAILED tests/(\S+)", out, re.MULTILINE)
    if status == 1 and failed:
        return KILLED, failed[1]
    if status < 0 or status > 128:
        return KILLED, f"crash, status {status}"
    if status == 0:
        return (SURVIVED if re.search(r"\d+ passed", out) else NOT_APPLICABLE), ""
    return BROKEN, out.strip()[-500:]


def test(tree: Path, tests: Sequence[str], timeout: float) -> tuple[str, str]:
    """Run tests in a tree; return what became of the bug in it."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return verdict(*run([*command, *(f"tests/{name}" for name in tests)], tree, timeout))


class Mutator:
    """The copies of the tree, each for one bug at a time."""

    def __init__(self, work: Path, jobs: int, timeout: float) -> None:
        self.timeout = timeout
        base, objects = work / "base", work / "objects"
        objects.mkdir()
        shutil.copytree(ROOT, base, ignore=NOT_COPIED)
        available = available_kernels(base)
        self.core = Core(base, objects)
        self.core.build_all(jobs)
        self.core.install(base, (), available)
        self.available = available
        self.free: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            shutil.copytree(base, work / f"tree{number}", ignore=NOT_COPIED)
            self.free.put(work / f"tree{number}")

    def check(self, bugs: Sequence[Bug]) -> None:
        """Refuse to begin where a test fails without any bug."""
        tree = self.free.get()
        named = {name for bug in bugs for name in bug.tests}
        tests = sorted(name for name in named if name.partition("::")[0] not in named - {name})
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        status, out = run([*command, *(f"tests/{name}" for name in tests)], tree, 3600)
        self.free.put(tree)
        if status != 0:
            raise SystemExit(f"tests fail without any bug:\n{out[-3000:]}")

    def attempt(self, bug: Bug) -> tuple[str, str]:
        """Return what became of a bug, and by what."""
        tree = self.free.get()
        path = tree / bug.file
        whole = path.read_bytes() if path.exists() else b""
        try:
            seed(tree, bug)
            if bug.is_c:
                self.core.install(tree, [bug.file], self.available)
            return test(tree, bug.tests, self.timeout)
        except Broken as error:
            return BROKEN, str(error)
        finally:
            if whole:
                path.write_bytes(whole)
            if bug.is_c:
                self.core.install(tree, (), self.available)
            self.free.put(tree)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="ID", help="some bugs by their names")
    parser.add_argument("--list", action="store_true", help="print the bugs and end")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="bugs at a time")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="of a bug's tests")
    args = parser.parse_args(arguments)
    bugs = [bug for bug in BUGS if not args.only or bug.id in args.only]
    unknown = set(args.only or ()) - {bug.id for bug in bugs}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list prints the bugs")
    if args.list:
        for bug in bugs:
            print(f"{bug.id:<34}{bug.file}\n{'':<8}{' '.join(bug.tests)}")
        return 0
    return try_all(bugs, args.jobs, args.timeout)


def try_all(bugs: Sequence[Bug], jobs: int, timeout: float) -> int:
    """Try bugs, print what becomes of each, and return the status to end with."""
    begin = time.monotonic()
    counts = dict.fromkeys((KILLED, SURVIVED, BROKEN, NOT_APPLICABLE), 0)
    with tempfile.TemporaryDirectory(prefix="pybackprop-mutation-") as work:
        mutator = Mutator(Path(work), jobs, timeout)
        mutator.check(bugs)
        print(f"{len(bugs)} bugs; built and checked in {time.monotonic() - begin:.0f} s")

        def attempt(bug: Bug) -> tuple[Bug, Any, float]:
            start = time.monotonic()
            return bug, mutator.attempt(bug), time.monotonic() - start

        with concurrent.futures.ThreadPoolExecutor(jobs) as workers:
            for done in concurrent.futures.as_completed(workers.submit(attempt, b) for b in bugs):
                bug, (what, how), seconds = done.result()
                counts[what] += 1
                print(f"{bug.id:<34}{what:<16}{seconds:4.0f} s  {how}", flush=True)
    listed = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"{len(bugs)} seeded bugs: {listed}; {time.monotonic() - begin:.0f} s")
    return 1 if counts[SURVIVED] or counts[BROKEN] else 0


if __name__ == "__main__":
    sys.exit(main())
