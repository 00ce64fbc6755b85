"""Bulk Bayesian aperture photometry for the Chandra Source Catalog, under MPI."""

from ._version import __version__

__all__ = ["Flag", "Outcome", "__version__", "measure"]

_HOMES = {"measure": "api", "Outcome": "photometry.outcome", "Flag": "photometry.outcome"}


def __getattr__(name: str):
    # Lazy, so that `import mpiapp` stays free of engines, MPI and HDF5.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
