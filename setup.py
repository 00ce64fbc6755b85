"""The compiled code of each room, built by pip from `mpiapp/ROOM/cpp`; the rest is in setup.cfg."""

from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

# Of fast maths only what vector instructions need: NaN and inf keep their meaning.
FLAGS = [
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fassociative-math",
    "-fno-signed-zeros",
]
ROOMS = ("engines", "posterior", "products")

ParallelCompile("MPIAPP_BUILD_JOBS", default=0).install()
setup(
    ext_modules=[
        Pybind11Extension(
            f"mpiapp.{room}._compiled",
            sorted(glob(f"mpiapp/{room}/cpp/*.cpp")),
            include_dirs=["mpiapp"],
            depends=["setup.py", *sorted(glob("mpiapp/**/*.hpp", recursive=True))],
            extra_compile_args=FLAGS,
            cxx_std=17,
        )
        for room in ROOMS
    ],
)
