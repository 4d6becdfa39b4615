"""Builds three plain C++ libraries, for any Python and any torch: CPU kernel, step, `.skeleton` parser.

They stand beside `kernels/cpu.py`, `kernels/step.py` and `data_prep/skeleton_parser.py`. The rest of the
build stands in pyproject.toml. Without a working C++ compiler the package is built without them: torch
operations and the Python parser take their place.
"""

import platform
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

# -ffast-math is not among them: NaN and infinity count, and the bytes of a result must not depend on a tile.
FLAGS = ["-std=c++17", "-O3", "-g0", "-fvisibility=hidden"]
FLAGS += ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
LEVELS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mfma", "-mprefer-vector-width=512"],
}
X86_LINUX = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


class BuildLibrary(build_ext):
    """Compiles a library's second source once for every instruction set and links no Python."""

    def get_ext_filename(self, fullname: str) -> str:
        """The file's name, without the tag of one Python version."""
        return fullname.replace(".", "/") + (".dll" if sys.platform == "win32" else ".so")

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None but those the source marks; Windows would look for a Python module's."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Build the library; an error here is a warning, as the extension is optional."""
        main, *more = ext.sources
        levels = LEVELS if X86_LINUX else {}
        macros = [("INDRNN_X86_LEVELS", None)] if levels else []
        objects = []
        every = [("baseline", []), *levels.items()]
        for source, level, flags in [(main, None, []), *((steps, *item) for steps in more for item in every)]:
            objects += self.compiler.compile(
                [source],
                output_dir=f"{self.build_temp}/{ext.name}/{level or 'main'}",
                macros=[*macros, ("INDRNN_LEVEL", level)] if level else macros,
                extra_preargs=[*FLAGS, *flags],
                depends=ext.depends,
            )
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-pthread"], target_lang="c++"
        )


class AnyPythonWheel(bdist_wheel):
    """A wheel of this platform for every Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """The tag in the wheel's name."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "action_indrnn.kernels._cpu",
            sources=["kernels/cpu.cpp", "kernels/cpu_steps.cpp"],
            depends=["kernels/cpu.h", "kernels/recurrence.h"],
            optional=True,
        ),
        Extension(
            "action_indrnn.kernels._step",
            sources=["kernels/step.cpp", "kernels/step_rows.cpp"],
            depends=["kernels/step.h"],
            optional=True,
        ),
        Extension(
            "action_indrnn.data_prep._skeleton", sources=["data_prep/skeleton_parser.cpp"], optional=True
        ),
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": AnyPythonWheel},
)
