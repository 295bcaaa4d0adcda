"""What pyproject.toml cannot express: the cffi module, its link line and the wheel's abi3 tag."""

import platform
import sysconfig

from setuptools import setup
from setuptools.command.build_ext import build_ext

# Free-threaded interpreters have no stable ABI here, and bdist_wheel refuses the tag on them.
abi3 = platform.python_implementation() == "CPython" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)


class BuildExt(build_ext):
    """Links without the RUNPATH that some interpreters carry in their own link line."""

    def build_extensions(self):
        own = (sysconfig.get_config_var("LDSHARED") or "").split()
        runpaths = {flag for flag in own if flag.startswith(("-Wl,-rpath", "-Wl,-R"))}
        link = getattr(self.compiler, "linker_so", None)
        if link is not None:
            # A RUNPATH that the builder asks for in LDFLAGS differs from these, and stays.
            self.compiler.linker_so = [flag for flag in link if flag not in runpaths]
        super().build_extensions()


setup(
    cffi_modules=["pybackprop/_build_ffi.py:ffibuilder"],
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if abi3 else {},
)
