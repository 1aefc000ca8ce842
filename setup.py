"""Builds the C kernel on installing, where a C compiler is; without one edge-asd computes the same in numpy.

Everything else is in setup.cfg. EDGE_ASD_KERNEL=numpy leaves the kernel out, and the wheel then fits every machine.
"""

import os
import runpy
import shlex
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent


class BuildKernel(build_ext):
    """Compiles to plain shared libraries, which edge-asd loads by ctypes: no Python headers are needed."""

    def run(self) -> None:
        """Build beside the source for an editable install, else into the wheel. Never fails the installation."""
        folder = (HERE if self.inplace else Path(self.build_lib)) / "edge_asd" / "native"
        recipe = runpy.run_path(str(HERE / "edge_asd" / "native" / "build.py"))
        try:
            for library in recipe["build"](folder, shlex.split(os.environ.get("CC", "cc"))):
                self.announce(f"built {library}", level=2)
        except (OSError, subprocess.CalledProcessError) as error:
            why = (getattr(error, "stderr", "") or str(error)).strip()
            self.announce(f"no C kernel, numpy will do its work: {why}", level=3)

    def get_outputs(self) -> list:
        """What was built, for the wheel's record."""
        return [str(path) for path in (Path(self.build_lib) / "edge_asd" / "native").glob("*.so")]


without = os.environ.get("EDGE_ASD_KERNEL") == "numpy"
setup(
    ext_modules=[]
    if without
    else [Extension("edge_asd.native.liblogmel", ["edge_asd/native/logmel.c"], optional=True)],
    cmdclass={"build_ext": BuildKernel},
)
