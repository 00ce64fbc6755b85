"""prep3: what one obsid of one stack says, counts and PSF matrices of all its bundles.

A FITS file per obsid; layout version 1, the complete description is in docs/files.md:

    primary           STACKID, OBS_ID, INSTRUME, EXPOSURE [s], CREATOR, PREP3VER
    SRCPROP           source properties, a row per bundle x band x aperture x
                      (component | background): bundle, component, band, aperture, counts
    PSF_<quantity>_<band>_<aperture>, one per kind of matrix, with the keywords
                      QUANTITY, BAND and APERTURE: a row per bundle:
                      bundle, n (components), F ((n + 1) x (n + 1), row after row)

The `counts` column of the source properties and the PSF extensions are the
memo's (section 2.2); the rest of the layout is ours.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote

from ..catalog.bundle import Bundle, ObsidBundle
from ..catalog.fault import Fault, InputError
from ..catalog.quantities import INSTRUMENT_BANDS
from ..catalog.scan import BundleScan, FileScan
from .fitsio import HDU, open_hdus
from .prep3_arrays import BundleArrays
from .prep3_tables import (
    Prep3Header,
    Properties,
    is_psf,
    open_matrices,
    read_source_properties,
    scan_matrices,
)

VERSION = 1
# What a bundle with 40 matrices takes beside its numbers (measured), as a single one too.
_INDEX_BYTES = 7000


@dataclass(frozen=True, eq=False)
class Prep3File:
    """A prep3 file that has been read.

    Attributes
    ----------
    header : Prep3Header
    bundles : dict of bundle name -> Bundle
        All that can be used: a bundle lacks the counts and matrices that are at
        fault, and a bundle without components that can be trusted is absent.
    faults : list of Fault
    nbytes : int
        About how much memory it holds.
    """

    header: Prep3Header
    bundles: dict[str, Bundle]
    faults: list[Fault]
    nbytes: int = 0

    @cached_property
    def _arrays(self) -> dict[int, BundleArrays]:
        return {}

    def arrays(self, n_components: int) -> BundleArrays:
        """Its bundles with so many sources, of a file whose matrices are read when asked for."""
        if n_components not in self._arrays:
            self._arrays[n_components] = BundleArrays(self.bundles, self.faults, n_components)
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
    return f"{name}_prep3.fits"


def open_prep3(path: str | os.PathLike, verify: bool = True, digest: str = "") -> Prep3File:
    """Read all of a prep3 file but its matrices, which are read when a bundle's F is asked.

    With `verify`, the checksum of every HDU that has one is compared.  Of a
    file of more than `fitsio.SMALL` bytes nothing but an index stays in memory.
    `digest` is that of the file as it was scanned, if it was.

    Raises
    ------
    InputError
        If the file as a whole cannot be used: unreadable, truncated, changed
        since it was written or scanned, without source properties or PSF extensions.
        What concerns single bundles is in `faults`; a matrix that cannot be
        used raises it when it is asked for.
    """
    faults: list[Fault] = []
    with open_hdus(path, verify) as hdus:
        primary = next(hdus)
        if digest and primary.source.digest() != digest:
            raise InputError(
                f"{path}: changed since the job began; restore it and resume, or measure what it "
                "is now by another job"
            )
        header, properties = _open(primary, hdus, str(path), faults)
        matrices = open_matrices(hdus, header.path, header.instrument, properties, faults)
    bundles = {
        name: Bundle(
            ObsidBundle(header.stack, header.obsid, name),
            header.instrument,
            group.components,
            group.counts,
            matrices[name],
        )
        for name, group in properties.items()
    }
    nbytes = primary.source.nbytes + _INDEX_BYTES * (1 + len(bundles))
    return Prep3File(header, bundles, faults, nbytes)


def read_prep3(path: str | os.PathLike, verify: bool = True) -> Prep3File:
    """Read a prep3 file with all its matrices; those that cannot be used are in `faults` too.

    Raises InputError as `open_prep3` does.
    """
    file = open_prep3(path, verify)
    for name, bundle in file.bundles.items():
        F = {}
        for matrix in bundle.F:
            try:
                F[matrix] = bundle.F[matrix]
            except InputError as error:
                file.faults.append(Fault(str(error), file.header.path, "", name, *matrix))
        file.bundles[name] = replace(bundle, F=F)
    return file


def scan_prep3(path: str | os.PathLike, verify: bool = False) -> tuple[FileScan, list[Fault]]:
    """Read the source properties, and which matrices there are, but no matrix.

    Raises InputError as `open_prep3` does.
    """
    faults: list[Fault] = []
    with open_hdus(path, verify) as hdus:
        primary = next(hdus)
        header, properties = _open(primary, hdus, str(path), faults)
        matrices = scan_matrices(hdus, header.path, header.instrument, properties, faults)
        digest = primary.source.digest()
    bundles = {
        name: BundleScan(group.components, matrices[name]) for name, group in properties.items()
    }
    scan = FileScan(header.path, header.stack, header.obsid, header.exposure, bundles, digest)
    return scan, faults


def _open(
    primary: HDU, hdus: Iterator[HDU], path: str, faults: list[Fault]
) -> tuple[Prep3Header, dict[str, Properties]]:
    header = _header(primary, path)
    for hdu in hdus:
        if hdu.name == "SRCPROP":
            return header, read_source_properties(hdu, header, faults)
        if is_psf(hdu):
            break
    raise InputError(
        f"{path}: no source properties table SRCPROP before the PSF extensions; add it"
    )


def _header(primary: HDU, path: str) -> Prep3Header:
    primary.choice("PREP3VER", (VERSION,))
    instrument = primary.choice("INSTRUME", tuple(INSTRUMENT_BANDS))
    exposure = primary.keyword("EXPOSURE")
    if exposure is not None:
        if type(exposure) not in (int, float) or not 0 <= exposure < math.inf:
            raise InputError(
                f"{primary.place}: keyword EXPOSURE is {exposure!r}, expected seconds; correct it "
                "or leave it out"
            )
        exposure = float(exposure)
    return Prep3Header(path, primary.text("STACKID"), primary.text("OBS_ID"), instrument, exposure)
