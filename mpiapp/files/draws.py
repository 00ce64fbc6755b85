"""Draws from the posterior of one run in a file: netCDF as ArviZ reads it, or FITS."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from astropy.io import fits

from .._version import __version__
from ..catalog.fault import InputError
from ..catalog.quantities import QUANTITIES
from ..catalog.runs import RunKey
from .fits_write import Field, table_hdu, text_array, write_hdus
from .replacing import replacing

SUFFIXES = {"netcdf": ".nc", "fits": ".fits"}


class RunDraws(NamedTuple):
    """Draws of all parameters of a run.

    values : (n_chains, n_draws, n_sources + n_backgrounds), in the quantity's unit, of
        backgrounds per pixel
    sources, backgrounds : labels of the parameters, backgrounds those of obsids
    method : how they were drawn
    seed : entropy of the run
    """

    key: RunKey
    values: np.ndarray
    sources: tuple[str, ...]
    backgrounds: tuple[str, ...]
    method: str
    seed: int


def draws_name(key: RunKey, suffix: str) -> str:
    """The file's name for a run, different for different ones: its key, in percent encoding."""
    words = (key.level, *key.target.split("/"), *key[2:])
    name = "_".join(quote(word, safe="+").replace("_", "%5F") for word in words)
    return f"{name[:180]}{f'_{key.run_id}' if len(name) > 180 else ''}{suffix}"


def check_suffix(suffix: str) -> None:
    """Raise InputError if draws cannot be written with this suffix here."""
    if suffix not in SUFFIXES.values():
        raise InputError(f"draws: suffix {suffix!r}, expected {' or '.join(SUFFIXES.values())}")
    if suffix == ".nc":
        try:
            import netCDF4  # noqa: F401 (xarray writes through it)
            import xarray  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"draws as netCDF need {error.name}: pip install 'mpiapp[draws]', or write FITS"
            ) from None


def write_draws(draws: RunDraws, path: str | Path) -> Path:
    """Write the draws in the form that the suffix names; the file appears in one step.

    Raises InputError for another suffix, or if xarray or netCDF4 is missing; OSError as usual.
    """
    path = Path(path)
    check_suffix(path.suffix)
    if path.suffix == ".fits":
        write_hdus(path, _hdus(draws))
        return path
    with replacing(path) as new:
        _netcdf(draws).to_netcdf(new, group="posterior", engine="netcdf4")
    return path


def _about(draws: RunDraws) -> dict[str, str]:
    return {
        "run": str(draws.key),
        "run_id": str(draws.key.run_id),
        "method": draws.method,
        "seed": str(draws.seed),
        "creator": f"mpiapp {__version__}",
    }


def _netcdf(draws: RunDraws):
    """The dataset of ArviZ's group "posterior", with the dimensions chain and draw."""
    from xarray import Dataset

    n, unit, dims = len(draws.sources), QUANTITIES[draws.key.quantity].unit, ("chain", "draw")
    n_chains, n_draws, _ = draws.values.shape
    return Dataset(
        {
            "source": ((*dims, "component"), draws.values[:, :, :n], {"units": unit}),
            "background": (
                (*dims, "obsid"),
                draws.values[:, :, n:],
                {"units": f"{unit} pixel-1"},
            ),
        },
        {
            "chain": range(n_chains),
            "draw": range(n_draws),
            "component": list(draws.sources),
            "obsid": list(draws.backgrounds),
        },
        _about(draws),
    )


def _hdus(draws: RunDraws) -> list:
    """A row for each draw (DRAWS), and the names of the elements of its vectors (PARAMETERS)."""
    n, unit = len(draws.sources), QUANTITIES[draws.key.quantity].unit
    n_chains, n_draws, n_columns = draws.values.shape
    flat = draws.values.reshape(-1, n_columns)
    columns = [
        Field("chain", np.repeat(np.arange(n_chains), n_draws)),
        Field("draw", np.tile(np.arange(n_draws), n_chains)),
        Field("source", flat[:, :n], unit, "a number for each component of PARAMETERS"),
    ]
    if draws.backgrounds:  # else they are frozen
        columns.append(Field("background", flat[:, n:], f"{unit} pixel-1", "for each obsid"))
    labels = (*draws.sources, *draws.backgrounds)
    sizes = {"source": len(draws.sources), "background": len(draws.backgrounds)}
    names = [
        Field("column", text_array([name for name, size in sizes.items() for _ in range(size)])),
        Field("element", np.concatenate([np.arange(1, size + 1) for size in sizes.values()])),
        Field("label", text_array(labels)),
    ]
    primary = fits.PrimaryHDU()
    for name, value in _about(draws).items():
        primary.header[name[:8].upper()] = value
    return [primary, table_hdu("DRAWS", columns), table_hdu("PARAMETERS", names)]
