"""What pyproject.toml cannot express: the cffi module, its link line and the wheel's abi3 tag."""

import atexit
import os
import platform
import shutil
import sysconfig
import tempfile

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

# Free-threaded interpreters have no stable ABI here, and bdist_wheel refuses the tag on them.
abi3 = platform.python_implementation() == "CPython" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)


class BuildExt(build_ext):
    """Asks for a compiler by name; links without the RUNPATH that some interpreters link with."""

    def build_extensions(self):
        # Microsoft's compiler has no such attribute; setuptools itself reports when it is missing.
        compiler = (getattr(self.compiler, "compiler_so", None) or [None])[0]
        if compiler is not None and shutil.which(compiler) is None:
            # One line, since pip shows the last one of a build that failed.
            raise PlatformError(
                f"pybackprop needs a C compiler, and {compiler!r} was not found. Install one "
                "(Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc "
                "python3-devel; macOS: xcode-select --install; Windows: Visual Studio Build Tools "
                "with C++), or set CC to the one you have"
            )
        own = (sysconfig.get_config_var("LDSHARED") or "").split()
        runpaths = {flag for flag in own if flag.startswith(("-Wl,-rpath", "-Wl,-R"))}
        link = getattr(self.compiler, "linker_so", None)
        if link is not None:
            # A RUNPATH that the builder asks for in LDFLAGS differs from these, and stays.
            self.compiler.linker_so = [flag for flag in link if flag not in runpaths]
        super().build_extensions()


options = {"bdist_wheel": {"py_limited_api": "cp310"}} if abi3 else {}
if not os.access(os.path.dirname(os.path.abspath(__file__)), os.W_OK):
    # pip builds in the source tree, which may belong to someone else.
    folder = tempfile.mkdtemp(prefix="pybackprop-build-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options["build"] = {"build_base": folder}
    options["egg_info"] = {"egg_base": folder}

setup(
    cffi_modules=["pybackprop/_build_ffi.py:ffibuilder"],
    cmdclass={"build_ext": BuildExt},
    options=options,
)
