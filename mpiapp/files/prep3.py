"""prep3: counts and PSF matrices of the bundles of one obsid of one stack.

A FITS file holds an obsid or a part of one; layout version 2, described in docs/prep3.md:

    primary           STACKID, OBS_ID, INSTRUME, EXPOSURE [s], MJD-OBS [d], CREATOR, PREP3VER
    SRCPROP           source properties, a row per region, that is per bundle x band x
                      aperture x (component | background): bundle, band, aperture,
                      component, counts
    PSF_FLUX, PSF_PHOTFLUX, PSF_RATE, PSF_CNTS
                      the same rows, each a row of F (Eq. 1)
    SRCINFO           what else is known of the sources; conversion factors of model fluxes

The `counts` column of the source properties and the PSF extensions are the memo's
(section 2.2); the rest of the layout is ours.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from ..catalog.bundle import Bundle, ObsidBundle
from ..catalog.fault import Fault, InputError
from ..catalog.instruments import instrument_problem
from ..catalog.priors import Priors
from ..catalog.scan import BundleScan, Files, FileScan
from .conversion_factors import add_model_fluxes
from .fits_header import BLOCK, read_header
from .fits_read import HDU, FitsFile, naming, read_fits
from .prep3_arrays import BundleArrays, BundleCounts, BundleMatrices
from .prep3_gamma import add_priors
from .prep3_layout1 import read_layout1_matrices
from .prep3_tables import Prep3Header, Prep3Tables, read_psf_tables, read_source_properties
from .regular import open_regular

VERSION = 2
_SUFFIX = "_prep3.fits"
_READABLE = (1, VERSION)
_MOST_HEADER_BLOCKS = 16
# Bytes of Python's objects beside the numbers, measured; a fault has its message too.
_BUNDLE_BYTES, _COMPONENT_BYTES, _PRIOR_BYTES, _FAULT_BYTES = 800, 80, 400, 1000


@dataclass(frozen=True, eq=False)
class Prep3File:
    """An obsid, from one or several prep3 files.

    Attributes
    ----------
    header : Prep3Header
    bundles : dict of bundle name -> Bundle
        All that can be used: a bundle lacks the counts and matrices that are at
        fault, and a bundle without components that can be trusted is absent.
    faults : list of Fault
    nbytes : int
        About how much memory it holds.
    priors : Priors
        Gamma priors of its sources and backgrounds.
    """

    header: Prep3Header
    bundles: dict[str, Bundle]
    faults: list[Fault]
    nbytes: int
    priors: Priors
    _arrays: dict[int, BundleArrays]

    def arrays(self, n_components: int) -> BundleArrays:
        """Its bundles with so many sources."""
        return self._arrays[n_components]


def prep3_name(stack: str, obsid: str) -> str:
    """A file name for any stack and obsid, different for different ones."""
    # The obsid's underscores are escaped, so the last one but "_prep3" separates.
    parts = quote(stack, safe="+"), quote(obsid, safe="+")
    name = f"{parts[0]}_{parts[1].replace('_', '%5F')}"
    if name.startswith("."):  # hidden, a folder's *prep3.fits would not name it
        name = f"%2E{name[1:]}"
    if len(name) > 200:
        name = f"{name[:150]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{name}{_SUFFIX}"


def owner_of_unreadable(path: str | os.PathLike) -> tuple[str, str] | None:
    """Stack and obsid of a file that cannot be read, as its primary header tells, or its name.

    A name tells if it is one of `prep3_name`.  None if neither does.
    """
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_HEADER_BLOCKS * BLOCK)
        with naming(str(path)):
            header, _ = read_header(content, 0, str(path))
            return str(header["STACKID"]), str(header["OBS_ID"])
    except (InputError, OSError):
        name = Path(path).name
        stack, _, obsid = map(unquote, name.removesuffix(_SUFFIX).rpartition("_"))
        return (stack, obsid) if name == prep3_name(stack, obsid) else None


def read_prep3(path: str | os.PathLike) -> Prep3File:
    """Read a prep3 file.

    The checksum of every HDU that has one is compared.

    Raises
    ------
    InputError
        If the file as a whole cannot be used: unreadable, truncated, changed
        since it was written, without source properties or PSF extensions.
        What concerns single bundles and matrices is in `faults`.
    """
    return read_obsid(((str(path), ""),))


def read_obsid(files: Files) -> Prep3File:
    """Read the prep3 files that hold an obsid together, as (path, digest); one will do.

    A digest is of the file as it was scanned, or empty.

    A matrix that two of them hold is taken from the first.  Raises InputError as `read_prep3` does.
    """
    tables = []
    for path, digest in files:
        file = read_fits(path, verify=True)
        if digest and file.digest() != digest:
            raise InputError(
                f"{path}: changed since the job began; restore it and resume, or measure what it "
                "is now by another job"
            )
        tables.append(_tables(file))
    header = tables[0].header
    components: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for name, bundle in table.bundles.items():
            components.setdefault(name, bundle.components)
    sizes = sorted(set(map(len, components.values())))
    arrays = {n: BundleArrays(tables, components, n) for n in sizes}
    bundles = {
        name: Bundle(
            ObsidBundle(header.stack, header.obsid, name),
            header.instrument,
            sources,
            BundleCounts(name, arrays[len(sources)]),
            BundleMatrices(name, arrays[len(sources)]),
        )
        for name, sources in components.items()
    }
    faults = [fault for part in (*tables, *arrays.values()) for fault in part.faults]
    nbytes = sum(part.nbytes for part in arrays.values())
    nbytes += _BUNDLE_BYTES * (1 + len(bundles))
    nbytes += _COMPONENT_BYTES * sum(map(len, components.values()))
    nbytes += sum(_FAULT_BYTES + len(fault.message) for fault in faults)
    priors = {key: gamma for part in reversed(tables) for key, gamma in part.priors.items()}
    nbytes += _PRIOR_BYTES * len(priors)
    return Prep3File(header, bundles, faults, nbytes, priors, arrays)


def read_prep3_header(path: str | os.PathLike) -> Prep3Header:
    """The primary header alone; InputError if it cannot be used."""
    return _header(read_fits(path, verify=False).hdus[0], str(path))[1]


def scan_prep3(path: str | os.PathLike) -> tuple[FileScan, list[Fault]]:
    """Which bundles and matrices there are.

    Raises InputError as `read_prep3` does.
    """
    file = read_fits(path, verify=False)
    tables = _tables(file)
    matrices = tables.matrices()
    bundles = {
        name: BundleScan(bundle.components, matrices[name])
        for name, bundle in tables.bundles.items()
    }
    header = tables.header
    scan = FileScan(
        header.path,
        header.stack,
        header.obsid,
        header.exposure,
        bundles,
        file.digest(),
        header.instrument,
    )
    return scan, tables.faults


def _tables(file: FitsFile) -> Prep3Tables:
    version, header = _header(file.hdus[0], file.path)
    properties = [hdu for hdu in file.hdus if hdu.name == "SRCPROP"]
    if not properties:
        raise InputError(f"{file.path}: no source properties table SRCPROP; add it")
    if len(properties) > 1:
        raise InputError(f"{properties[1].place}: a second table of this name; keep one")
    tables = read_source_properties(properties[0], header)
    if version == 1:
        read_layout1_matrices(file, tables)
    else:
        read_psf_tables(file.hdus, tables)
    add_model_fluxes(file.hdus, tables)
    add_priors(file.hdus, tables)
    return tables


def _header(primary: HDU, path: str) -> tuple[int, Prep3Header]:
    version = primary.choice("PREP3VER", _READABLE)
    instrument = primary.text("INSTRUME")
    if problem := instrument_problem(instrument):
        raise InputError(f"{primary.place}: INSTRUME = {instrument!r} {problem}; correct it")
    stack, obsid = primary.text("STACKID"), primary.text("OBS_ID")
    exposure = _positive(primary, "EXPOSURE", "seconds")
    mjd = _positive(primary, "MJD-OBS", "a Modified Julian Date")
    return version, Prep3Header(path, stack, obsid, instrument, exposure, mjd)


def _positive(primary: HDU, keyword: str, expected: str) -> float | None:
    """The number of an optional keyword."""
    value = primary.keyword(keyword)
    if value is not None and not (type(value) in (int, float) and 0 <= value < math.inf):
        raise InputError(
            f"{primary.place}: keyword {keyword} is {value!r}, expected {expected}; correct it or "
            "leave it out"
        )
    return None if value is None else float(value)
