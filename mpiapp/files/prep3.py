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

import math
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from ..catalog.bundle import Bundle, InputError, ObsidBundle
from ..catalog.quantities import INSTRUMENT_BANDS
from .fitsio import HDU, open_hdus
from .prep3_tables import (
    Matrix,
    Properties,
    decoded,
    is_psf,
    matrix_kind,
    psf_rejection,
    read_psf,
    read_source_properties,
    without_matrix,
)
from .rejection import Rejection

VERSION = 1


@dataclass(frozen=True)
class Prep3Header:
    """Where a prep3 file is and whose it is; exposure_s is None where the file does not say."""

    path: str
    stack: str
    obsid: str
    instrument: str
    exposure_s: float | None


@dataclass(frozen=True)
class Prep3File:
    """A prep3 file that has been read.

    Attributes
    ----------
    header : Prep3Header
    bundles : dict of bundle name -> Bundle
        All that can be used: a bundle lacks the counts and matrices that were
        rejected, and a bundle without components that can be trusted is absent.
    rejected : list of Rejection
    """

    header: Prep3Header
    bundles: dict[str, Bundle]
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class Prep3Scan:
    """What a work list needs to know of a prep3 file, without its matrices.

    Attributes
    ----------
    header : Prep3Header
    components : dict of bundle name -> tuple of component names
    matrices : dict of Matrix -> frozenset of bundle names
        Which bundles have a row for this kind of matrix.  Whether the matrix
        can be used is known only when it is read.
    rejected : list of Rejection
    """

    header: Prep3Header
    components: dict[str, tuple[str, ...]]
    matrices: dict[Matrix, frozenset[str]]
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class Contradiction:
    """A component that a stack's obsids put into different bundles, or a file that is double."""

    stack: str
    component: str | None
    bundles: tuple[str, ...]
    message: str


def read_prep3(
    path: str | os.PathLike, bundles: Collection[str] | None = None, verify: bool = True
) -> Prep3File:
    """Read a prep3 file, or only the named bundles of it.

    With `verify`, the checksum of every HDU that has one is compared.

    Raises
    ------
    InputError
        If the file as a whole cannot be used: unreadable, truncated, changed
        since it was written, without source properties or PSF extensions.
        What concerns single bundles or matrices is in `rejected`.
    """
    wanted = None if bundles is None else frozenset(bundles)
    rejected: list[Rejection] = []
    matrices: dict[str, dict] = defaultdict(dict)
    kinds: set[Matrix] = set()
    with open_hdus(path, verify) as hdus:
        header, properties = _open(hdus, path, rejected)
        for hdu in _psf_extensions(hdus, path):
            try:
                kind = matrix_kind(hdu, header.instrument, kinds)
                read = read_psf(hdu, kind, properties, wanted, rejected)
            except InputError as error:
                rejected.append(psf_rejection(hdu, error))
                continue
            kinds.add(kind)
            for name, F in read.items():
                matrices[name][tuple(kind)] = F
    found = {
        name: Bundle(
            ObsidBundle(header.stack, header.obsid, name),
            header.instrument,
            group.components,
            group.counts,
            matrices.get(name, {}),
        )
        for name, group in properties.items()
        if wanted is None or name in wanted
    }
    complained = matrices.keys() | {r.bundle for r in rejected}
    rejected += without_matrix(str(path), properties, complained)
    if wanted is not None:
        rejected = [r for r in rejected if r.bundle is None or r.bundle in wanted]
    return Prep3File(header, found, rejected)


def scan_prep3(path: str | os.PathLike, verify: bool = False) -> Prep3Scan:
    """Read the source properties, and which matrices there are, but no matrix.

    Raises InputError as `read_prep3` does.
    """
    rejected: list[Rejection] = []
    matrices: dict[Matrix, frozenset[str]] = {}
    same: dict[bytes, frozenset[str]] = {}
    with open_hdus(path, verify) as hdus:
        header, properties = _open(hdus, path, rejected)
        for hdu in _psf_extensions(hdus, path):
            try:
                kind = matrix_kind(hdu, header.instrument, matrices)
                names = hdu.columns({"bundle": "text"})["bundle"]
            except InputError as error:
                rejected.append(psf_rejection(hdu, error))
                continue
            # Most extensions list the same bundles: one set serves them all.
            text = names.tobytes()
            if text not in same:
                same[text] = frozenset(decoded(names)) & properties.keys()
            matrices[kind] = same[text]
    rejected += without_matrix(str(path), properties, frozenset().union(*matrices.values()))
    components = {name: group.components for name, group in properties.items()}
    return Prep3Scan(header, components, matrices, rejected)


def _open(
    hdus: Iterator[HDU], path: str | os.PathLike, rejected: list[Rejection]
) -> tuple[Prep3Header, dict[str, Properties]]:
    header = _header(next(hdus), str(path))
    for hdu in hdus:
        if hdu.name == "SRCPROP":
            return header, read_source_properties(hdu, header.instrument, rejected)
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


def _psf_extensions(hdus: Iterator[HDU], path: str | os.PathLike) -> Iterator[HDU]:
    n = 0
    for hdu in hdus:
        if is_psf(hdu):
            n += 1
            yield hdu
    if n == 0:
        raise InputError(f"{path}: no PSF extension (PSF_*); add the matrices")


def contradictions(scans: Iterable[Prep3Scan]) -> list[Contradiction]:
    """Where the obsids of one stack disagree, which no file shows by itself.

    Bundles are made per stack, so a component must be in the bundle of the
    same name in every obsid that sees it.
    """
    bundle_of: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    path_of: dict[tuple[str, str], str] = {}
    found = []
    for scan in scans:
        header = scan.header
        first = path_of.setdefault((header.stack, header.obsid), header.path)
        if first != header.path:
            message = (
                f"{header.path}: stack {header.stack}, obsid {header.obsid} are also in {first}; "
                "keep one of the files"
            )
            found.append(Contradiction(header.stack, None, tuple(scan.components), message))
            continue
        for bundle, components in scan.components.items():
            for component in components:
                bundle_of[header.stack, component].setdefault(bundle, header.path)
    for (stack, component), paths in bundle_of.items():
        if len(paths) > 1:
            where = "; ".join(f"{bundle} in {path}" for bundle, path in paths.items())
            message = (
                f"stack {stack}: component {component} is in different bundles ({where}); bundles "
                "are made per stack, correct the files"
            )
            found.append(Contradiction(stack, component, tuple(paths), message))
    return found
