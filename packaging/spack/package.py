"""Spack recipe; put the folder into a repository of yours as packages/py_mpiapp."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyMpiapp(PythonPackage):
    """Bulk Bayesian aperture photometry for the Chandra Source Catalog, under MPI."""

    # No release is published: `spack develop --path PROJECT py-mpiapp@main` builds a copy of yours.
    version("main")

    license("BSD-3-Clause")

    variant("plot", default=True, description="Figures")
    variant("parquet", default=False, description="Products as Parquet")

    depends_on("cxx", type="build")
    depends_on("python@3.10:", type=("build", "run"))
    depends_on("py-setuptools@64:", type="build")
    depends_on("py-pybind11@2.12:", type="build")
    depends_on("py-numpy@1.22:", type=("build", "run"))
    depends_on("py-astropy@6:", type=("build", "run"))
    depends_on("py-h5py@3.10:", type=("build", "run"))
    depends_on("py-mpi4py@4:", type=("build", "run"))
    depends_on("py-pydantic@2.7:", type=("build", "run"))
    depends_on("py-tomli@2:", type=("build", "run"), when="^python@:3.10")
    depends_on("py-regions@0.8:", type=("build", "run"))
    depends_on("py-scipy@1.7:", type=("build", "run"))
    depends_on("py-tqdm@4.60:", type=("build", "run"))
    depends_on("py-matplotlib@3.6:", type=("build", "run"), when="+plot")
    depends_on("py-pyarrow@10:", type=("build", "run"), when="+parquet")

    def test_command(self):
        """the command runs and has its data files"""
        which("mpiapp", required=True)("jobscript", "slurm", "job.toml")
