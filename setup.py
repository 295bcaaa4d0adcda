"""What pyproject.toml cannot express: the cffi module and the abi3 tag of the wheel."""

import platform
import sysconfig

from setuptools import setup

# Free-threaded interpreters have no stable ABI here, and bdist_wheel refuses the tag on them.
abi3 = platform.python_implementation() == "CPython" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)

setup(
    cffi_modules=["pybackprop/_build_ffi.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if abi3 else {},
)
