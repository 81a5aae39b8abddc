# SPDX-License-Identifier: MIT
"""Puts liblotformer_ops.so, which CMake has built, beside the Python files; nothing is compiled here.

The library is the one that LOTFORMER_OPS_LIBRARY names, else that of build/<preset> of this repository (the newest of several presets):
`cmake --build --preset release --target lotformer_ops_shared` makes it.
"""
import os
import pathlib
import shutil
import tempfile

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

NAME = "liblotformer_ops.so"
HERE = pathlib.Path(__file__).resolve().parent


def find_library():
    named = os.environ.get("LOTFORMER_OPS_LIBRARY")
    if named:
        if not pathlib.Path(named).is_file():
            raise SystemExit(f"error: LOTFORMER_OPS_LIBRARY: there is no file {named}")
        return pathlib.Path(named)
    built = sorted((HERE.parents[2] / "build").glob(f"*/lib/{NAME}"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise SystemExit(f"error: {NAME} is not built: cmake --build --preset release --target lotformer_ops_shared, "
                         "or name one with LOTFORMER_OPS_LIBRARY")
    return built[-1]


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if not getattr(self, "editable_mode", False):
            shutil.copy2(find_library(), os.path.join(self.build_lib, "lotformer_torch", NAME))


class PlatformWheel(bdist_wheel):
    """Any Python 3, this platform: the library knows torch, not Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


# Not in this folder, which may be read-only and should stay as it is.
scratch = tempfile.mkdtemp(prefix="lotformer-torch-")
setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel}, distclass=WithLibrary,
      options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}})
