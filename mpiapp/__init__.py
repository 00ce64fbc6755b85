"""Bulk Bayesian aperture photometry for the Chandra Source Catalog, under MPI.

measure : the photometry of one problem, from counts and a matrix
measure_table : the photometry of a table of sources, as a table
Measurement : what `measure` returns for each source, in a list that draws itself (`corner`)
Outcome, Flag : what the numbers of a result are, and what was done to get them
Policy : the rules for bounds, retries and NULL
Gamma : the prior of an intensity, by α and β or by mean and rms
InputError : what is raised for input that cannot be used; says where and what to do
InputWarning : what `measure_table` warns of: rows that cannot be used
Problem : counts, matrix and priors, which an engine answers with a posterior
open_results : read a results file
"""

from ._version import __version__

# Lazy, so that `import mpiapp` stays free of engines, MPI and HDF5.
_HOMES = {
    "Flag": "catalog.outcome",
    "Gamma": "catalog.priors",
    "InputError": "catalog.fault",
    "InputWarning": "tables",
    "Measurement": "api",
    "Outcome": "catalog.outcome",
    "Policy": "photometry.ladder",
    "Problem": "catalog.problem",
    "measure": "api",
    "measure_table": "tables",
    "open_results": "files.results",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
